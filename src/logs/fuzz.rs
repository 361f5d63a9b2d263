//! Segments as a crash, a bad disk or a stranger leaves them.

use std::fs;

use cove_base::Timestamp;
use cove_fuzz::{Fuzz, Rng};

use crate::format::push_record;
use crate::{Direction, Position, Query, Source, Start, StreamWriter, read, segment, stats};

const CAP: u64 = 8 << 20;

/// Cuts the end or adds whole records.
fn records(rng: &mut Rng, bytes: &mut Vec<u8>) {
    match rng.below(3) {
        0 => bytes.truncate(bytes.len() - rng.below(bytes.len().min(32) + 1)),
        1 => {
            let message = vec![b'x'; rng.below(3000)];
            let ingested = (rng.below(2) == 0).then(|| rng.number().cast_signed());
            push_record(bytes, rng.number().cast_signed() >> rng.below(60), ingested, &message);
        }
        _ => bytes.extend(std::iter::repeat_n(rng.number() as u8, rng.below(40))),
    }
}

/// The input is the first segment; a second, good one follows when its length is odd.
#[test]
fn fuzz_log_segment() {
    let home = tempfile::tempdir().unwrap();
    Fuzz::new("log-segment").shape(&records).run(|input| {
        let dir = home.path().join("stream");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        fs::write(segment::path(&dir, 1), input).unwrap();
        let forward = read(&dir, &Query { max_bytes: 1 << 16, ..Query::all() });
        let backward = Query { start: Start::Tail, direction: Direction::Backward, ..Query::all() };
        let backward = read(&dir, &Query { max_bytes: 1 << 16, ..backward });
        let count = forward.as_ref().map_or(0, |page| page.events.len());
        assert!(count <= input.len() / 16 + 1);
        for offset in [0, 1, 47, 48, 49, input.len() as u64, u64::MAX - 3, u64::MAX] {
            for direction in [Direction::Forward, Direction::Backward] {
                let at = Start::At(Position { segment: 1, offset });
                let _ = read(&dir, &Query { start: at, direction, ..Query::all() });
            }
        }
        let _ = stats(&dir);
        // A writer takes the stream over whatever it finds, and what it writes can be read.
        let appended = StreamWriter::open(&dir, CAP).and_then(|mut writer| {
            writer.append(Source::Stdout, Timestamp(7), b"the last line\n")?;
            let tail = Query { start: Start::Tail, direction: Direction::Backward, max_events: 1, ..Query::all() };
            read(&dir, &tail)
        });
        let last = appended.as_ref().ok().and_then(|page| page.events.last());
        assert!(last.is_some_and(|event| event.message == b"the last line"), "{appended:?}");
        format!("{} {} {}", forward.is_ok(), backward.is_ok(), count.min(4))
    });
}
