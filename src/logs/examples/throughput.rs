//! How fast one thread turns a pipe's bytes into a stream: 1 GB of 100-byte lines in reads of 64 KiB.

use std::time::Instant;

use cove_base::Timestamp;
use cove_logs::{Source, StreamWriter};

#[allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]
fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "/tmp/cove-logs-throughput".to_owned());
    let dir = std::path::Path::new(&dir);
    let mut line = vec![b'x'; 99];
    line.push(b'\n');
    let bytes: Vec<u8> = line.iter().copied().cycle().take(1_000_000_000).collect();
    let mut writer = StreamWriter::open(dir, 64 << 20).unwrap();
    let start = Instant::now();
    for (at, chunk) in bytes.chunks(64 << 10).enumerate() {
        writer.append(Source::Stdout, Timestamp(at as i64), chunk).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} MB/s, {:?}", 1000.0 / seconds, cove_logs::stats(dir).unwrap());
    std::fs::remove_dir_all(dir).unwrap();
}
