//! Frames from a server that is none, specs and exit records from a damaged disk.

use cove_fuzz::{Fuzz, Rng};

use crate::frame;
use crate::journal;
use crate::protocol::{Event, ExitRecord, FRAME_MAX, Request, TaskSpec};

/// Makes the length of the first frame good.
#[allow(clippy::ptr_arg, reason = "what the fuzzer calls")]
fn length(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.len() >= 4 {
        let whole = bytes.len() - 4;
        let length = if rng.below(4) == 0 { rng.below(whole + 2) } else { whole };
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
    }
}

#[test]
fn fuzz_frames() {
    let tokens: [&[u8]; 7] =
        [b"\"Subscribe\"", b"{\"Start\":", b"{\"Exec\":", b"null", b"-1", b"1e400", b"\"container\""];
    Fuzz::new("frames").shape(&length).tokens(&tokens).run(|input| {
        let (mut requests, mut events) = (input.to_vec(), input.to_vec());
        let (mut seen, mut told) = (0, 0);
        let refused = loop {
            match frame::decode::<Request>(&mut requests) {
                Ok(Some(request)) => {
                    assert!(frame::encode(&request).unwrap().len() <= FRAME_MAX + 4);
                    seen += 1;
                }
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        while let Ok(Some(_)) = frame::decode::<Event>(&mut events) {
            told += 1;
        }
        let spec = serde_json::from_slice::<TaskSpec>(input.get(4..).unwrap_or_default()).is_ok();
        format!("{seen} {told} {refused} {spec}")
    });
}

#[test]
fn fuzz_exit_record() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.0.json");
    Fuzz::new("exit-record").json().run(|input| {
        std::fs::write(&file, input).unwrap();
        let found: Vec<ExitRecord> = journal::read(home.path());
        assert!(found.len() <= 1);
        format!("{:?}", found.first().map(|record| (record.exit_code.is_some(), record.error.is_some())))
    });
}
