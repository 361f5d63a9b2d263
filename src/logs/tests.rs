use std::fs::OpenOptions;
use std::path::Path;

use cove_base::Timestamp;
use proptest::prelude::*;

use crate::{
    Direction, EVENT_BYTES_MAX, Event, Follower, LogError, Page, Position, Query, Source, Start, StreamWriter,
    choose_drops, enforce_caps, read, remove_older_than, segment, stats, usage,
};

const NO_CAP: u64 = 1 << 40;

fn writer(dir: &Path) -> StreamWriter {
    StreamWriter::open(dir, NO_CAP).unwrap()
}

fn out(writer: &mut StreamWriter, at: i64, bytes: &[u8]) {
    writer.append(Source::Stdout, Timestamp(at), bytes).unwrap();
}

fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8_lossy(&event.message).into_owned()).collect()
}

fn page(dir: &Path, query: Query) -> Page {
    read(dir, &query).unwrap()
}

fn everything(dir: &Path) -> Vec<Event> {
    Follower::new(dir, Start::Head)
        .and_then(|mut all| {
            let mut events = Vec::new();
            loop {
                let more = all.poll(1000)?;
                if more.is_empty() {
                    return Ok(events);
                }
                events.extend(more);
            }
        })
        .unwrap()
}

#[test]
fn lines_of_two_pipes_do_not_mix_and_the_last_one_needs_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path());
    out(&mut log, 1, b"one\ntw");
    log.append(Source::Stderr, Timestamp(2), b"error\n").unwrap();
    out(&mut log, 3, b"o\n\nthree");
    log.finish(Source::Stdout, Timestamp(4)).unwrap();
    let events = everything(dir.path());
    assert_eq!(texts(&events), ["one", "error", "two", "", "three"]);
    assert_eq!(events.iter().map(|event| event.time_ms).collect::<Vec<_>>(), [1, 2, 3, 3, 4]);
}

#[test]
fn a_long_line_is_split_between_characters() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path());
    let mut line = "é".repeat(EVENT_BYTES_MAX).into_bytes();
    line.insert(0, b'x');
    line.push(b'\n');
    out(&mut log, 1, &line);
    let events = everything(dir.path());
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| std::str::from_utf8(&event.message).is_ok()));
    assert_eq!(events.iter().map(|event| event.message.len()).sum::<usize>(), line.len() - 1);
}

#[test]
fn time_never_goes_back_in_a_container_s_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path());
    out(&mut log, 10, b"a\n");
    out(&mut log, 5, b"b\n");
    drop(log);
    out(&mut writer(dir.path()), 7, b"c\n");
    assert_eq!(everything(dir.path()).iter().map(|event| event.time_ms).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn the_oldest_segments_go_and_the_count_of_lost_events_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = StreamWriter::open(dir.path(), 2 << 20).unwrap();
    for number in 0..400 {
        out(&mut log, number, format!("{number:05}{}\n", "x".repeat(20_000)).as_bytes());
    }
    let seen = stats(dir.path()).unwrap();
    let left = everything(dir.path());
    assert!(seen.bytes <= 2 << 20, "{} bytes", seen.bytes);
    assert_eq!(seen.dropped_events + left.len() as u64, 400);
    assert_eq!(left.last().map(|event| event.time_ms), Some(399));
    assert_eq!(left[0].time_ms as u64, seen.dropped_events);
    // A token into a dropped segment means the oldest event left.
    let old = page(dir.path(), Query { start: Start::At(Position { segment: 1, offset: 48 }), ..Query::all() });
    assert_eq!(old.events[0], left[0]);
}

#[test]
fn pages_by_time_and_token_meet_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path());
    for number in 0..100 {
        out(&mut log, number, format!("{number}\n").as_bytes());
    }
    let some = Query { from_ms: 10, to_ms: 20, max_events: 4, ..Query::all() };
    let first = page(dir.path(), some);
    assert_eq!(texts(&first.events), ["10", "11", "12", "13"]);
    let second = page(dir.path(), Query { start: Start::At(first.forward), ..some });
    assert_eq!(texts(&second.events), ["14", "15", "16", "17"]);
    let third = page(dir.path(), Query { start: Start::At(second.forward), ..some });
    assert_eq!((texts(&third.events), third.end), (vec!["18".to_owned(), "19".to_owned()], true));
    let back = page(dir.path(), Query { start: Start::At(second.backward), direction: Direction::Backward, ..some });
    assert_eq!(back.events, first.events);
    let last = page(dir.path(), Query { start: Start::Tail, direction: Direction::Backward, ..some });
    assert_eq!(texts(&last.events), ["16", "17", "18", "19"]);
    let none = page(dir.path(), Query { start: Start::At(back.backward), direction: Direction::Backward, ..some });
    assert_eq!((none.events.len(), none.end), (0, true));
}

#[test]
fn a_position_inside_a_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    out(&mut writer(dir.path()), 1, b"hello\nworld\n");
    for (segment, offset) in [(1, 49), (1, 1 << 40), (2, 48), (u64::MAX, u64::MAX), (1, 0)] {
        let query = Query { start: Start::At(Position { segment, offset }), ..Query::all() };
        assert!(matches!(read(dir.path(), &query), Err(LogError::BadPosition { .. })), "{segment}/{offset}");
    }
}

#[test]
fn a_follower_sees_each_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(dir.path(), Start::Tail).unwrap();
    let mut log = writer(dir.path());
    out(&mut log, 1, b"a\nb\n");
    assert_eq!(texts(&follower.poll(10).unwrap()), ["a", "b"]);
    assert!(follower.poll(10).unwrap().is_empty());
    out(&mut log, 2, b"c\n");
    assert_eq!(texts(&follower.poll(10).unwrap()), ["c"]);
}

#[test]
fn client_events_keep_their_own_times_and_are_all_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = StreamWriter::open_for_events(dir.path(), NO_CAP).unwrap();
    log.put(Timestamp(100), &[(50, b"late"), (60, b"later")]).unwrap();
    log.put(Timestamp(101), &[(20, b"early")]).unwrap();
    let found = page(dir.path(), Query { from_ms: 10, to_ms: 55, ..Query::all() });
    assert_eq!(texts(&found.events), ["late", "early"]);
    assert_eq!((found.events[1].time_ms, found.events[1].ingested_ms), (20, 101));
}

#[test]
fn a_stream_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let first = writer(dir.path());
    assert!(StreamWriter::open(dir.path(), NO_CAP).is_err());
    drop(first);
    assert!(StreamWriter::open(dir.path(), NO_CAP).is_ok());
}

#[test]
fn the_node_s_cap_takes_the_oldest_and_spares_the_living() {
    let logs = tempfile::tempdir().unwrap();
    let (old, live) = (logs.path().join("old"), logs.path().join("live"));
    out(&mut writer(&old), 1, &[b'x'; 1000].map(|_| b'\n'));
    let mut alive = writer(&live);
    out(&mut alive, 2, b"kept\n");
    let before = usage(logs.path()).unwrap();
    assert_eq!(choose_drops(&before, before.bytes), Vec::<&crate::SegmentUse>::new());
    let dropped = enforce_caps(logs.path(), 100).unwrap();
    assert_eq!(dropped.segments, 1);
    assert_eq!(stats(&old).unwrap().dropped_events, 1000);
    assert!(everything(&old).is_empty());
    enforce_caps(logs.path(), 0).unwrap();
    assert_eq!(texts(&everything(&live)), ["kept"]);
    out(&mut writer(&old), 3, b"again\n");
    assert_eq!(texts(&everything(&old)), ["again"]);
}

#[test]
fn retention_removes_what_is_wholly_older() {
    let dir = tempfile::tempdir().unwrap();
    out(&mut writer(dir.path()), 1000, b"a\nb\n");
    assert_eq!(remove_older_than(dir.path(), 1000).unwrap(), 0);
    assert_eq!(remove_older_than(dir.path(), 1001).unwrap(), 1);
    assert_eq!(remove_older_than(dir.path(), 1001).unwrap(), 0);
    assert_eq!(stats(dir.path()).unwrap().dropped_events, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_whole_and_in_order(
        chunks in prop::collection::vec((prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), 1..400_usize), 1..12),
        reopen in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = StreamWriter::open(dir.path(), NO_CAP).unwrap();
        let mut all = Vec::new();
        for (chunk, times) in &chunks {
            let mut bytes = chunk.repeat(*times);
            if reopen {
                bytes.push(b'\n');
                out(&mut log, 1, &bytes);
                drop(log);
                log = writer(dir.path());
            } else {
                out(&mut log, 1, &bytes);
            }
            all.extend(bytes);
        }
        log.finish(Source::Stdout, Timestamp(2)).unwrap();
        let mut wanted: Vec<&[u8]> = all.split(|byte| *byte == b'\n').collect();
        if wanted.last().is_some_and(|last| last.is_empty()) {
            wanted.pop();
        }
        let got = everything(dir.path());
        if wanted.iter().all(|line| line.len() <= EVENT_BYTES_MAX) {
            prop_assert!(wanted.iter().copied().eq(got.iter().map(|event| event.message.as_slice())));
        } else {
            prop_assert_eq!(wanted.concat(), got.iter().flat_map(|event| event.message.clone()).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn a_cut_at_any_byte_costs_only_the_torn_event(cut in 0..2000_u64, count in 1..40_u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path());
        for number in 0..count {
            out(&mut log, number.cast_signed(), format!("event {number}\n").as_bytes());
        }
        drop(log);
        let path = segment::path(dir.path(), 1);
        let whole = std::fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(cut.min(whole)).unwrap();
        let before = everything(dir.path());
        prop_assert!(before.len() as u64 <= count);
        let last = page(dir.path(), Query { start: Start::Tail, direction: Direction::Backward, max_events: 1, ..Query::all() });
        prop_assert_eq!(last.events.first(), before.last());
        out(&mut writer(dir.path()), 1000, b"after\n");
        let got = texts(&everything(dir.path()));
        let mut wanted: Vec<String> = (0..before.len()).map(|number| format!("event {number}")).collect();
        wanted.push("after".to_owned());
        prop_assert_eq!(got, wanted);
    }
}
