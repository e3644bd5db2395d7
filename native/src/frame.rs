//! Frames on a byte stream: a length in four little-endian bytes, then so many bytes.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads a frame; `None` at the end of the stream.
///
/// Memory grows with what arrives, never with what is announced.
///
/// # Errors
/// `InvalidData` for a frame longer than `bytes_max`; otherwise what the stream says.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    let length = u32::from_le_bytes(head) as usize;
    if length > bytes_max {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {length} bytes; at most {bytes_max} are read"),
        ));
    }
    let mut bytes = Vec::with_capacity(length.min(READ_AHEAD_BYTES));
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

/// Writes a frame.
///
/// # Errors
/// What the stream says.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(bytes).await?;
    stream.flush().await
}

const READ_AHEAD_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_and_a_bad_length_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"one").await.unwrap();
        write(&mut bytes, b"").await.unwrap();
        let mut stream = &bytes[..];
        assert_eq!(
            read(&mut stream, 8).await.unwrap().as_deref(),
            Some(&b"one"[..])
        );
        assert_eq!(
            read(&mut stream, 8).await.unwrap().as_deref(),
            Some(&b""[..])
        );
        assert_eq!(read(&mut stream, 8).await.unwrap(), None);
        assert_eq!(
            read(&mut &bytes[..], 2).await.unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(
            read(&mut &bytes[..5], 8).await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        assert_eq!(
            read(&mut &bytes[..2], 8).await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
    }
}
