//! What unpacking costs: an image of one layer and one of four, by the code as it is and by the same code held to one
//! processor, which is what a single thread would do. `scripts/bench registry` runs it and prints the ratios; without
//! `UNPACK_SPEED` it only shows that it works.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use super::{Layer, Snapshots};

/// Content of all layers together; what tests have takes no time.
const BYTES: usize = 256 << 20;
const BYTES_OF_TEST: usize = 1 << 20;
/// As in a Debian root: half of the files are below 4 KiB, most bytes lie in some large ones.
const SIZES: [usize; 8] = [120, 900, 2_000, 3_800, 9_000, 22_000, 60_000, 400_000];

/// A gzip layer of files that compress about as programs and texts do.
fn layer(home: &Path, number: usize, bytes: usize) -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    let (mut state, mut done, mut count) = (number as u64 + 1, 0, 0);
    while done < bytes {
        let size = SIZES[count % SIZES.len()];
        let mut content = vec![b' '; size];
        for piece in content.chunks_mut(8).step_by(2) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("l{number}/d{}/f{count}", count / 100), content.as_slice()).unwrap();
        (done, count) = (done + size, count + 1);
    }
    let tar = tar.into_inner().unwrap();
    let blob = home.join(format!("layer{number}.{bytes}"));
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&blob).unwrap(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap();
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(&tar)));
    Layer { diff_id, media_type: String::new(), blob, digest: String::new() }
}

/// Megabytes of content per second.
fn speed(home: &Path, layers: &[Layer], bytes: usize) -> f64 {
    let target = tempfile::tempdir_in(home).unwrap();
    let snapshots = Snapshots::open(target.path()).unwrap();
    let began = Instant::now();
    snapshots.unpack(layers, &|_| ()).unwrap();
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

/// Threads that begin in `work` stay on one processor too.
fn held<T>(work: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap_or(false)).unwrap();
    one.set(first).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let done = work();
    sched_setaffinity(Pid::from_raw(0), &all).unwrap();
    done
}

#[test]
fn unpacking_is_measured() {
    let out = std::env::var_os("UNPACK_SPEED");
    let rounds = std::env::var("UNPACK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let bytes = if out.is_some() { BYTES } else { BYTES_OF_TEST };
    let home = tempfile::tempdir().unwrap();
    let mut table = String::from("layers,processors,mb_per_second\n");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for count in [1, 4] {
        let layers: Vec<Layer> = (0..count).map(|number| layer(home.path(), number, bytes / count)).collect();
        for _ in 0..rounds {
            let free = speed(home.path(), &layers, bytes);
            let one = held(|| speed(home.path(), &layers, bytes));
            assert!(free > 0.0 && one > 0.0);
            writeln!(table, "{count},{processors},{free}\n{count},1,{one}").unwrap();
        }
    }
    if let Some(out) = out {
        fs::write(out, table).unwrap();
    }
}
