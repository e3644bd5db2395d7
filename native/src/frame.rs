//! Frames on a byte stream: a length in four little-endian bytes, then so many bytes.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

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
    match first_byte(stream).await? {
        Some(byte) => rest(stream, byte, bytes_max).await.map(Some),
        None => Ok(None),
    }
}

/// Reads a frame of someone who may be in no hurry: once begun, a frame must end in time.
///
/// # Errors
/// `TimedOut` if it does not; otherwise as [`read`].
pub(crate) async fn read_within(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
    within: Duration,
) -> Result<Option<Vec<u8>>> {
    let Some(byte) = first_byte(stream).await? else {
        return Ok(None);
    };
    let read = tokio::time::timeout(within, rest(stream, byte, bytes_max)).await;
    match read {
        Ok(read) => read.map(Some),
        Err(_) => Err(Error::new(ErrorKind::TimedOut, "a frame that does not end")),
    }
}

async fn first_byte(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<u8>> {
    let mut byte = [0];
    let read = stream.read(&mut byte).await?;
    Ok((read == 1).then_some(byte[0]))
}

async fn rest(
    stream: &mut (impl AsyncRead + Unpin),
    first: u8,
    bytes_max: usize,
) -> Result<Vec<u8>> {
    let mut head = [first, 0, 0, 0];
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
    Ok(bytes)
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
    async fn a_frame_that_does_not_end_is_given_up() {
        let (mut near, mut far) = tokio::io::duplex(64);
        write(&mut near, b"whole").await.unwrap();
        near.write_all(&[9, 0]).await.unwrap();
        let soon = Duration::from_millis(20);
        let whole = read_within(&mut far, 8, soon).await.unwrap();
        assert_eq!(whole.as_deref(), Some(&b"whole"[..]));
        let error = read_within(&mut far, 8, soon).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

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
