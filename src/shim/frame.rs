//! Frames on the socket: a little-endian `u32` length, then JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::FRAME_MAX;

/// Bytes in front of each frame.
const HEADER: usize = 4;

/// A peer that does not speak the protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is above the limit of {FRAME_MAX}")]
    TooLong(usize),
    #[error("a frame does not hold what was expected")]
    Content(#[source] serde_json::Error),
}

/// One message as bytes.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Content)?;
    let length = bytes.len() - HEADER;
    let header = u32::try_from(length).ok().filter(|_| length <= FRAME_MAX).ok_or(FrameError::TooLong(length))?;
    bytes[..HEADER].copy_from_slice(&header.to_le_bytes());
    Ok(bytes)
}

/// Takes the first whole message out of what has arrived; `None` when it is not whole yet.
pub(crate) fn decode<T: DeserializeOwned>(arrived: &mut Vec<u8>) -> Result<Option<T>, FrameError> {
    let Some(header) = arrived.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_le_bytes(*header) as usize;
    if length > FRAME_MAX {
        return Err(FrameError::TooLong(length));
    }
    let Some(body) = arrived.get(HEADER..HEADER + length) else { return Ok(None) };
    let message = serde_json::from_slice(body).map_err(FrameError::Content)?;
    arrived.drain(..HEADER + length);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;

    #[test]
    fn messages_come_out_whole_and_in_order_however_they_arrive() {
        let mut arrived = Vec::new();
        let mut got: Vec<Request> = Vec::new();
        let mut bytes = encode(&Request::Subscribe).unwrap();
        bytes.extend(encode(&Request::Stop { container: "a".to_owned() }).unwrap());
        for byte in bytes {
            arrived.push(byte);
            while let Some(request) = decode(&mut arrived).unwrap() {
                got.push(request);
            }
        }
        assert_eq!(got, [Request::Subscribe, Request::Stop { container: "a".to_owned() }]);
    }

    #[test]
    fn a_giant_or_senseless_frame_is_an_error() {
        assert!(matches!(decode::<Request>(&mut u32::MAX.to_le_bytes().to_vec()), Err(FrameError::TooLong(_))));
        assert!(matches!(decode::<Request>(&mut vec![1, 0, 0, 0, b'x']), Err(FrameError::Content(_))));
    }
}
