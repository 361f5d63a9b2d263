//! Runs one container without a server: `run_one PROGRAM ARGS…` in a root made of the host's static busybox.
//!
//! For developers: shows the whole path from spawn to exit record, with the time that each step took. Needs root.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cove_shim::client;
use cove_shim::protocol::{Event, Phase, Request};

#[path = "../tests/world/mod.rs"]
mod world;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == "shim" => cove_shim::run(args),
        Some(word) if word == "init" => cove_shim::init_main(args),
        Some(program) => demonstrate(std::iter::once(program).chain(args).collect()),
        None => ExitCode::from(64),
    }
}

#[allow(clippy::print_stdout, reason = "a program for a terminal")]
fn demonstrate(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> = args.into_iter().filter_map(|one| one.into_string().ok()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    runtime.block_on(async {
        let world = world::World::new();
        let binary = cove_shim::binary::publish(world.run_dir()).expect("the program can be mounted");
        let spec = world.task(vec![world.container("main", &args)]);
        let begun = Instant::now();
        let (mut shim, _) = client::spawn(&binary, &world.groups(), &spec).await.expect("a shim starts");
        println!("shim up        {:?}", begun.elapsed());
        shim.send(&Request::Start { container: "main".to_owned(), attempt: 0 }).await.expect("it listens");
        let record = loop {
            match shim.next().await.expect("it speaks") {
                Some(Event::Changed(state)) => match state.phase {
                    Phase::Exited(record) => break record,
                    Phase::Running { pid, .. } => println!("running        {:?} as {pid}", begun.elapsed()),
                    Phase::Waiting => {}
                },
                Some(other) => println!("{other:?}"),
                None => return ExitCode::FAILURE,
            }
        };
        println!("exited         {:?}", begun.elapsed());
        println!("{}", world.log("main"));
        println!("{record:?}");
        shim.send(&Request::Finish).await.expect("it listens");
        while let Ok(Some(_)) = shim.next().await {}
        println!("gone           {:?}, task directory {}", begun.elapsed(), Path::exists(&spec.directory));
        u8::try_from(record.exit_code.unwrap_or(255)).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}
