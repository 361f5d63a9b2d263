//! Power cuts while clients push, on a disk of the server's own: what they were told is there is there, and nobody sees a
//! part of anything.
//!
//! The server is stopped, and what its disk has received by then is copied; what lies in the page cache above is lost.
//! Which states a disk may be left in at all is looked at in `src/registry/power.rs`; here a real file system and the
//! real server go through some of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::disk::{own_mounts, run};
use crate::server::{Server, until};

const DISK_MIB: u64 = 512;
const CLIENTS: u64 = 4;
/// Few, for every run of the tests; `COVE_POWER_ROUNDS` for more.
const ROUNDS: u64 = 3;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What was pushed: path → content, and whether its pusher was told.
type Pushed = Mutex<BTreeMap<String, (Vec<u8>, bool)>>;

fn mount(home: &Path) {
    // No commit of the journal but those that are asked for.
    run(Command::new("mount").args(["-o", "loop,commit=600"]).arg(home.join("disk.img")).arg(home.join("data")));
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// One request on a connection of its own; the status, if it was answered.
fn ask(port: u16, method: &str, path: &str, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {MANIFEST}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(answer.get(9..12)?).parse().ok()
}

/// Pushes images of one layer, of any size, until the server does not answer.
fn push_on(port: u16, client: u64, round: u64, pushed: &Pushed, is_over: &AtomicBool) {
    let put = |path: String, at: &str, method: &str, body: Vec<u8>| {
        pushed.lock().unwrap().entry(path.clone()).or_insert((body.clone(), false));
        let status = ask(port, method, at, &body);
        if status == Some(201) {
            pushed.lock().unwrap().entry(path).and_modify(|known| known.1 = true);
        }
        status
    };
    for number in 0_u64.. {
        let seed = digest(format!("{round} {client} {number}").as_bytes());
        // Every fourth is the same for all clients, which push it at the same time.
        let seed = if number % 4 == 0 { digest(format!("{round} {number}").as_bytes()) } else { seed };
        let length = [10, 3000, 100_000, 2_000_000][usize::from(seed.as_bytes()[10]) % 4];
        let layer: Vec<u8> = seed.bytes().cycle().take(length).collect();
        let parts = [b"{}".to_vec(), layer].map(|content| {
            let name = digest(&content);
            let part = json!({"mediaType": "application/x", "digest": name, "size": content.len()});
            let at = format!("/v2/app/blobs/uploads/?digest={name}");
            (part, put(format!("/v2/app/blobs/{name}"), &at, "POST", content))
        });
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0].0, "layers": [parts[1].0]});
        let manifest = manifest.to_string().into_bytes();
        let path = format!("/v2/app/manifests/{}", digest(&manifest));
        let answers = [parts[0].1, parts[1].1, put(path.clone(), &path, "PUT", manifest)];
        if answers.contains(&None) || is_over.load(Ordering::Relaxed) {
            return;
        }
        assert_eq!(answers, [Some(201); 3]);
    }
}

/// SIGSTOP, and until every thread stands still.
fn stop(process: u32) {
    run(Command::new("kill").args(["-STOP", &process.to_string()]));
    until("every thread stands", || {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let stands = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        let mut stats = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
        stats.all(|stat| stat.is_ok_and(stands)).then_some(())
    });
}

/// Lets clients push until the power goes; then the server begins again on what its disk had received. Whether the cut
/// took a file that was written and not synced.
fn cut(server: &mut Server, round: u64, pushed: &Pushed) -> bool {
    let unsynced = format!("unsynced-{round}");
    let mut was_taken = false;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (port, is_over) = (server.port, &is_over);
            scope.spawn(move || push_on(port, client, round, pushed, is_over));
        }
        let before = pushed.lock().unwrap().values().filter(|(_, told)| *told).count();
        until("some pushes are acknowledged", || {
            let told = pushed.lock().unwrap().values().filter(|(_, told)| *told).count();
            (told >= before + 12).then_some(())
        });
        std::thread::sleep(Duration::from_millis(37 * round % 200));
        fs::write(server.home().join("data").join(&unsynced), vec![1; 64 << 10]).unwrap();
        stop(server.process());
        let home = server.home().to_owned();
        run(Command::new("cp").arg("--sparse=always").arg(home.join("disk.img")).arg(home.join("received.img")));
        is_over.store(true, Ordering::Relaxed);
        server.while_stopped(|data| {
            run(Command::new("umount").arg(data));
            fs::rename(home.join("received.img"), home.join("disk.img")).unwrap();
            mount(&home);
            was_taken = fs::metadata(data.join(&unsynced)).map_or(0, |about| about.len()) < 64 << 10;
        });
    });
    was_taken
}

#[test]
fn a_power_cut_takes_nothing_that_a_client_was_told_and_shows_no_part() {
    own_mounts();
    let mut server = Server::start_in(|home| {
        fs::File::create(home.join("disk.img")).unwrap().set_len(DISK_MIB << 20).unwrap();
        fs::create_dir(home.join("data")).unwrap();
        let now = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", now]).arg(home.join("disk.img")));
        mount(home);
    });
    server.ecr("CreateRepository", &json!({"repositoryName": "app"})).unwrap();
    let pushed = Pushed::default();
    let rounds = std::env::var("COVE_POWER_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut taken = 0;
    for round in 0..rounds {
        taken += u64::from(cut(&mut server, round, &pushed));
        let pushed = pushed.lock().unwrap();
        let told = pushed.values().filter(|(_, told)| *told).count();
        eprintln!("round {round}: {told} of {} were acknowledged", pushed.len());
        for (path, (content, told)) in &*pushed {
            let got = server.exchange("GET", path, &[], b"");
            let is_whole = got.status == 200 && got.body == *content;
            assert!(is_whole || !told && got.status == 404, "round {round}: {path}: {} {}", got.status, got.body.len());
        }
    }
    // The control: a cut that took nothing would show nothing.
    assert!(taken > 0, "no cut took what was not synced");
}
