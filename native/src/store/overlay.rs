//! A file that redb may read, repair and write, of which nothing reaches the disk.
//!
//! redb repairs what it opens, and a repair may go back to an older commit: a node would forget what it signed. So a file
//! is looked at through this first, whatever its size: what is written is kept in memory, page by page.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Mutex, MutexGuard};

use redb::StorageBackend;

/// The file below, and what was written above it.
#[derive(Debug)]
pub(super) struct Overlay<F> {
    file: F,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    len: u64,
    /// How much of the file shows through; beyond are zeros.
    shown: u64,
    /// Pages by number, whole.
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

const PAGE: usize = 4096;

impl<F: StorageBackend> Overlay<F> {
    /// The file as it is.
    pub(super) fn new(file: F) -> Result<Overlay<F>> {
        let len = file.len()?;
        let above = Mutex::new(Above {
            len,
            shown: len,
            pages: BTreeMap::new(),
        });
        Ok(Overlay { file, above })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above
            .lock()
            .expect("nothing panics while it holds this")
    }

    /// Reads one page's bytes from `within` on, as it is now.
    fn read_page(&self, above: &Above, page: u64, within: usize, out: &mut [u8]) -> Result<()> {
        if let Some(bytes) = above.pages.get(&page) {
            out.copy_from_slice(&bytes[within..within + out.len()]);
            return Ok(());
        }
        let from = page * PAGE as u64 + within as u64;
        let shown = above.shown.saturating_sub(from).min(out.len() as u64) as usize;
        let (below, beyond) = out.split_at_mut(shown);
        beyond.fill(0);
        if below.is_empty() {
            return Ok(());
        }
        self.file.read(from, below)
    }
}

impl<F: StorageBackend> StorageBackend for Overlay<F> {
    fn len(&self) -> Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let above = self.above();
        if offset
            .checked_add(out.len() as u64)
            .is_none_or(|end| end > above.len)
        {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for (page, within, part) in pages(offset, out.len()) {
            self.read_page(&above, page, within, &mut out[part])?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut above = self.above();
        if len < above.len {
            let last = len / PAGE as u64;
            above.pages.split_off(&len.div_ceil(PAGE as u64));
            if let Some(bytes) = above.pages.get_mut(&last) {
                bytes[(len % PAGE as u64) as usize..].fill(0);
            }
            above.shown = above.shown.min(len);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut above = self.above();
        if offset
            .checked_add(data.len() as u64)
            .is_none_or(|end| end > above.len)
        {
            return Err(Error::new(ErrorKind::InvalidInput, "beyond the end"));
        }
        for (page, within, part) in pages(offset, data.len()) {
            let mut bytes = Box::new([0; PAGE]);
            self.read_page(&above, page, 0, &mut bytes[..])?;
            bytes[within..within + part.len()].copy_from_slice(&data[part]);
            above.pages.insert(page, bytes);
        }
        Ok(())
    }
}

/// The pages that so many bytes from `offset` on touch: number, where in it they begin, and which of the bytes they are.
fn pages(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let part = done..length.min(done + PAGE - within);
        done = part.end;
        (!part.is_empty()).then_some((at / PAGE as u64, within, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch;
    use redb::backends::FileBackend;

    #[test]
    fn it_reads_as_a_file_would_and_leaves_the_file_alone() {
        let dir = scratch("overlay");
        let path = dir.join("file");
        let mut model: Vec<u8> = (0..20_000u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &model).unwrap();
        let untouched = model.clone();
        let file = std::fs::File::open(&path).unwrap();
        let overlay = Overlay::new(FileBackend::new(file).unwrap()).unwrap();
        let mut state = 7u64;
        let mut draw = |bound: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(99);
            (state >> 33) as usize % bound
        };
        for step in 0..2_000 {
            let from = draw(model.len());
            let length = draw((model.len() - from).min(9_000)) + 1;
            match draw(8) {
                0 => {
                    let len = 5_000 + draw(25_000);
                    overlay.set_len(len as u64).unwrap();
                    model.resize(len, 0);
                }
                1..=3 => {
                    let data = vec![step as u8; length];
                    overlay.write(from as u64, &data).unwrap();
                    model[from..from + length].copy_from_slice(&data);
                }
                _ => {
                    let mut read = vec![0; length];
                    overlay.read(from as u64, &mut read).unwrap();
                    assert!(read == model[from..from + length], "step {step}");
                }
            }
            assert_eq!(overlay.len().unwrap(), model.len() as u64);
        }
        assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
        assert!(overlay.write(model.len() as u64, &[0]).is_err());
        assert!(std::fs::read(&path).unwrap() == untouched);
    }
}
