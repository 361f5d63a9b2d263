use std::io::{Cursor, Write};

use super::*;

/// `name version` of what a file of that name says.
fn said(path: &str, content: &[u8]) -> Result<Vec<String>, String> {
    let kind = wanted(path, true).unwrap_or_else(|| panic!("{path} is not wanted"));
    let found = read(kind, path, content.len() as u64, &mut Cursor::new(content)).map_err(|fault| match fault {
        Fault::Broken(text) => text.to_owned(),
        Fault::Read(error) => error.to_string(),
    })?;
    Ok(found.into_iter().flat_map(|(_, list)| list).map(|raw| format!("{} {}", raw.name, raw.version)).collect())
}

#[test]
fn dpkg_lists_what_is_installed_with_its_source() {
    let status = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u4\nDescription: x\n Version: 9\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: bash\nStatus: install ok installed\nVersion: 5.2\n";
    assert_eq!(said("var/lib/dpkg/status", status).unwrap(), ["libc6 2.36-9+deb12u4", "bash 5.2"]);
    let source = dpkg::parse(status).unwrap()[0].source.clone().unwrap();
    assert_eq!((source.name.as_str(), source.version.as_str()), ("glibc", "2.36-9"));
    assert_eq!(
        said("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12.4\n").unwrap(),
        ["base-files 12.4"]
    );
    assert!(wanted("var/lib/dpkg/status.d/base.md5sums", false).is_none());
}

#[test]
fn apk_lists_what_is_installed() {
    let installed = b"C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\no:musl\n\nP:libcrypto3\nV:3.1.4-r5\no:openssl\n\n";
    assert_eq!(said("lib/apk/db/installed", installed).unwrap(), ["musl 1.2.4-r2", "libcrypto3 3.1.4-r5"]);
    assert_eq!(apk::parse(installed).unwrap()[1].source.as_ref().unwrap().name, "openssl");
}

#[test]
fn python_tells_installed_and_locked_packages() {
    let metadata = b"Metadata-Version: 2.1\nName: Jinja2\nVersion: 2.4.1\n\nVersion: 9\n";
    assert_eq!(
        said("usr/lib/python3/site-packages/Jinja2-2.4.1.dist-info/METADATA", metadata).unwrap(),
        ["Jinja2 2.4.1"]
    );
    assert_eq!(said("a/b.egg-info/PKG-INFO", metadata).unwrap(), ["Jinja2 2.4.1"]);
    assert!(said("a/b.egg-info", b"Name: x\n").is_err());
    let requirements =
        b"# c\nrequests[socks]==2.6.0 ; python_version < '3' --hash=sha256:aa\nflask>=1\n-r other.txt\nsix == 1.2 \\\n";
    assert_eq!(said("app/requirements.txt", requirements).unwrap(), ["requests 2.6.0", "six 1.2"]);
    let pipfile = br#"{"default":{"a":{"version":"==1.0"},"local":{"path":"."}},"develop":{"b":{"version":"==2"}}}"#;
    assert_eq!(said("Pipfile.lock", pipfile).unwrap(), ["a 1.0", "b 2"]);
    let poetry = b"[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nname = \"me\"\nversion = \"0\"\nsource = { virtual = \".\" }\n";
    assert_eq!(said("uv.lock", poetry).unwrap(), ["a 1"]);
}

#[test]
fn node_tells_installed_and_locked_packages() {
    assert_eq!(
        said("x/node_modules/@a/b/package.json", br#"{"name":"@a/b","version":"1.0.0"}"#).unwrap(),
        ["@a/b 1.0.0"]
    );
    assert!(wanted("app/package.json", false).is_none());
    let lock =
        br#"{"lockfileVersion":3,"packages":{"":{"name":"me","version":"1"},"node_modules/a":{"version":"1.2.3"},
        "node_modules/a/node_modules/@s/b":{"version":"2.0.0"},"node_modules/l":{"link":true,"resolved":"l"}}}"#;
    assert_eq!(said("package-lock.json", lock).unwrap(), ["a 1.2.3", "@s/b 2.0.0"]);
    let lock = br#"{"dependencies":{"a":{"version":"1.2.3","dependencies":{"b":{"version":"2"}}},"c":{"version":"npm:@d/e@3"}}}"#;
    assert_eq!(said("package-lock.json", lock).unwrap(), ["a 1.2.3", "b 2", "@d/e 3"]);
    let yarn = b"# yarn lockfile v1\n\n\"@a/b@^1.0\", \"@a/b@^1.1\":\n  version \"1.2.3\"\n  dependencies:\n    c \"^1\"\n\nc@^1:\n  version \"1.0.1\"\n";
    assert_eq!(said("yarn.lock", yarn).unwrap(), ["@a/b 1.2.3", "c 1.0.1"]);
    let berry = b"\"a@npm:^1, a@npm:^2\":\n  version: 2.0.0\n\n\"x@npm:real@^1\":\n  version: 1.1.0\n\n\"me@workspace:.\":\n  version: 0.0.0-use.local\n";
    assert_eq!(said("yarn.lock", berry).unwrap(), ["a 2.0.0", "real 1.1.0"]);
    let pnpm = b"lockfileVersion: '9.0'\n\npackages:\n\n  '@a/b@1.0.0':\n    resolution: {}\n\n  /c@2.0.0(d@3):\n    dev: true\n  /e/4.0.0_f@1:\n    dev: true\n\nsnapshots:\n\n  g@5.0.0: {}\n";
    assert_eq!(said("pnpm-lock.yaml", pnpm).unwrap(), ["@a/b 1.0.0", "c 2.0.0", "e 4.0.0"]);
}

#[test]
fn the_other_languages_tell_theirs() {
    let cargo = b"version = 3\n[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n[[package]]\nname = \"time\"\nversion = \"0.1.40\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(said("Cargo.lock", cargo).unwrap(), ["time 0.1.40"]);
    let gems = b"PATH\n  remote: .\n  specs:\n    me (1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    nokogiri (1.6.0-x86_64-linux)\n      mini (~> 2)\n    rack (1.5.2)\n\nPLATFORMS\n  ruby\n";
    assert_eq!(said("Gemfile.lock", gems).unwrap(), ["nokogiri 1.6.0", "rack 1.5.2"]);
    let spec = b"Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"1.5.2\"\nend\n";
    assert_eq!(said("usr/lib/ruby/gems/specifications/rack-1.5.2.gemspec", spec).unwrap(), ["rack 1.5.2"]);
    let composer = br#"{"packages":[{"name":"a/b","version":"v1.0"}],"packages-dev":[{"name":"c/d","version":"2"}]}"#;
    assert_eq!(said("composer.lock", composer).unwrap(), ["a/b v1.0", "c/d 2"]);
    let nuget = br#"{"version":1,"dependencies":{"net6.0":{"A.B":{"type":"Direct","resolved":"1.0.0"},"P":{"type":"Project"}}}}"#;
    assert_eq!(said("packages.lock.json", nuget).unwrap(), ["A.B 1.0.0"]);
    let deps = br#"{"libraries":{"me/1.0":{"type":"project"},"A.B/1.0.0":{"type":"package"}}}"#;
    assert_eq!(said("app.deps.json", deps).unwrap(), ["A.B 1.0.0"]);
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_of_java_are_searched_to_a_depth() {
    let pom = b"#made\nversion=2.14.1\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\n";
    let mut jar =
        zip_of(&[("META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties", pom), ("A.class", b"x")]);
    assert_eq!(said("app/a.jar", &jar).unwrap(), ["org.apache.logging.log4j:log4j-core 2.14.1"]);
    jar = zip_of(&[("BOOT-INF/lib/a.jar", &jar), ("lib/no.jar", b"text")]);
    assert_eq!(said("app/a.jar", &jar).unwrap().len(), 1);
    for _ in 0..4 {
        jar = zip_of(&[("b.jar", &jar)]);
    }
    assert!(said("app/a.jar", &jar).is_err());
    assert!(said("app/a.jar", b"PK").is_err());
}

/// An ELF file of one section beside that of the names.
fn elf(name: &str, content: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let names = format!("\0{name}\0");
    let (at, names_at) = (file.len(), file.len() + content.len());
    file.extend_from_slice(content);
    file.extend_from_slice(names.as_bytes());
    let table = file.len();
    for (name, offset, size) in [(0_u32, names_at, names.len()), (1, at, content.len())] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend_from_slice(&header);
    }
    file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
    file[0x3a..0x3e].copy_from_slice(&[64, 0, 2, 0]);
    file
}

#[test]
fn executables_of_cargo_auditable_tell_their_crates() {
    let list = br#"{"packages":[{"name":"me","version":"0.1.0","source":"local","root":true},
        {"name":"time","version":"0.1.40","source":"crates.io"},{"name":"cc","version":"1","source":"crates.io","kind":"build"}]}"#;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(list).unwrap();
    assert_eq!(said("bin/a", &elf(".dep-v0", &zlib.finish().unwrap())).unwrap(), ["time 0.1.40"]);
    assert!(said("bin/a", &elf(".dep-v0", b"damaged")).is_err());
    assert!(said("bin/a", &elf(".text", b"x")).unwrap().is_empty());
    assert!(said("bin/a", b"#!/bin/sh\n").unwrap().is_empty());
}

#[test]
fn programs_of_go_tell_their_modules() {
    let modules = "path\texample.com/me\nmod\texample.com/me\t(devel)\t\ndep\tgolang.org/x/net\tv0.1.0\th1:x\ndep\told.example/a\tv1.0.0\n=>\tnew.example/a\tv1.1.0\th1:y\nbuild\t-compiler=gc\n";
    let framed = format!("{}{modules}{}", "x".repeat(16), "y".repeat(16));
    let mut list = b"\xff Go buildinf:\x08\x02".to_vec();
    list.resize(32, 0);
    list.extend_from_slice(b"\x08go1.21.3");
    let length = framed.len();
    list.extend_from_slice(&[u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()]);
    list.extend_from_slice(framed.as_bytes());
    // A text that only looks like the magic comes first, and the list lies across what is read at once.
    let mut program = elf(".x", b"\xff Go buildinf:text");
    program.resize((256 << 10) - 7, 0);
    program.extend_from_slice(&list);
    program.extend_from_slice(&[0; 1000]);
    assert_eq!(said("bin/a", &program).unwrap(), ["stdlib 1.21.3", "golang.org/x/net v0.1.0", "new.example/a v1.1.0"]);
    list[15] = 0;
    program.truncate((256 << 10) - 7);
    program.extend_from_slice(&list);
    assert!(said("bin/a", &program).unwrap_err().contains("1.18"));
}

#[test]
fn a_program_full_of_false_magics_is_given_up() {
    let program = elf(".x", &b"\xff Go buildinf:".repeat(100_000));
    assert!(said("bin/a", &program).unwrap_err().contains("no list"));
}

/// A package's header as rpm keeps it.
fn rpm_header(words: &[(u32, &str)], epoch: u32) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), epoch.to_be_bytes().to_vec());
    for (tag, word) in words {
        let offset = u32::try_from(data.len()).unwrap();
        index.extend([*tag, 6, offset, 1].iter().flat_map(|number| number.to_be_bytes()));
        data.extend_from_slice(word.as_bytes());
        data.push(0);
    }
    index.extend([1003_u32, 4, 0, 1].iter().flat_map(|number| number.to_be_bytes()));
    let counts = [index.len() / 16, data.len()].map(|count| u32::try_from(count).unwrap().to_be_bytes());
    [counts.concat(), index, data].concat()
}

#[test]
fn the_database_of_rpm_is_read_from_sqlite() {
    let long = "x".repeat(20_000);
    let words = [
        (1000, "bash"),
        (1001, "5.1.8"),
        (1002, "6.el9"),
        (1022, "x86_64"),
        (1044, "bash-5.1.8-6.el9.src.rpm"),
        (9, &long),
    ];
    let key = [(1000, "gpg-pubkey"), (1001, "1"), (1002, "1")];
    let rows = [rpm_header(&words, 1), rpm_header(&key, 0)];
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rpmdb.sqlite");
    let script = "import sqlite3,sys\nd=sqlite3.connect(sys.argv[1])\nd.execute('CREATE TABLE Other(a)')\nd.execute('CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)')\nfor n in range(60):\n d.execute('INSERT INTO Packages(blob) VALUES(?)',(bytes.fromhex(sys.argv[2+n%2]),))\nd.commit()\n";
    let made =
        std::process::Command::new("python3").args(["-c", script]).arg(&path).args(rows.map(hex::encode)).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: needs python3 with sqlite3");
        return;
    }
    let file = std::fs::read(&path).unwrap();
    let found = rpm::parse(&file).unwrap();
    assert_eq!(found.len(), 30);
    assert_eq!((found[0].name.as_str(), found[0].version.as_str()), ("bash", "1:5.1.8-6.el9"));
    assert_eq!(found[0].source.as_ref().unwrap().version, "1:5.1.8-6.el9");
    for cut in [0, 99, 100, 4096, 5000, file.len() / 2] {
        assert!(rpm::parse(&file[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..file.len()).step_by(8111) {
        let mut bad = file.clone();
        bad[at] ^= 0xff;
        let _ = rpm::parse(&bad);
    }
}

/// One package in rpm's own form, and in the hash table of Berkeley DB of either byte order.
fn older_databases() -> [(&'static str, Vec<u8>); 3] {
    let blob = rpm_header(&[(1000, "bash"), (1001, "4.4"), (1002, "1.el8")], 0);
    let length = u32::try_from(blob.len()).unwrap();
    let mut ndb =
        [b"RpmP".to_vec(), [0_u32, 1, 1, 2, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()].concat();
    ndb.extend([b"Slot".to_vec(), [1_u32, 256, 9].iter().flat_map(|word| word.to_le_bytes()).collect()].concat());
    while ndb.len() < 4096 {
        ndb.extend([b"Slot".to_vec(), vec![0; 12]].concat());
    }
    ndb.extend(
        [b"BlbS".to_vec(), [1_u32, 1, length].iter().flat_map(|word| word.to_le_bytes()).collect(), blob.clone()]
            .concat(),
    );
    let berkeley = |word: fn(u32) -> [u8; 4], half: fn(u16) -> [u8; 2]| {
        let mut file = vec![0; 512 * 4];
        file[12..16].copy_from_slice(&word(0x61561));
        file[20..24].copy_from_slice(&word(512));
        let page = &mut file[512..];
        page[20..22].copy_from_slice(&half(2));
        page[25] = 13;
        page[26..28].copy_from_slice(&half(500));
        page[28..30].copy_from_slice(&half(480));
        page[480] = 3;
        page[484..488].copy_from_slice(&word(2));
        page[488..492].copy_from_slice(&word(length));
        let page = &mut file[1024..];
        page[25] = 7;
        page[26..26 + blob.len()].copy_from_slice(&blob);
        file
    };
    [
        ("usr/lib/sysimage/rpm/Packages.db", ndb),
        ("var/lib/rpm/Packages", berkeley(u32::to_le_bytes, u16::to_le_bytes)),
        ("var/lib/rpm/Packages", berkeley(u32::to_be_bytes, u16::to_be_bytes)),
    ]
}

#[test]
fn older_databases_of_rpm_are_read_too() {
    for (path, file) in older_databases() {
        assert_eq!(said(path, &file).unwrap(), ["bash 4.4-1.el8"], "{path}");
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0xff;
            let _ = said(path, &bad);
            let _ = said(path, &file[..at]);
        }
    }
    assert!(said("var/lib/rpm/Packages", b"\0\0").is_err());
}

#[test]
fn a_log_of_sqlite_that_holds_something_is_a_problem() {
    assert!(said("var/lib/rpm/rpmdb.sqlite-wal", b"").unwrap().is_empty());
    assert!(said("var/lib/rpm/rpmdb.sqlite-wal", b"x").unwrap_err().contains("not supported"));
}

#[test]
fn distributions_have_the_names_of_osv() {
    let named = |text: &str| os_release::ecosystem(&os_release(text.as_bytes()));
    assert_eq!(named("ID=debian\nVERSION_ID=\"12\"\n"), "Debian:12");
    assert_eq!(named("ID=alpine\nVERSION_ID=3.19.1\n"), "Alpine:v3.19");
    assert_eq!(named("ID=alpine\nVERSION_ID=3.20.0_alpha2\n"), "Alpine:edge");
    assert_eq!(named("ID=\"rocky\"\nVERSION_ID=\"9.3\"\n"), "Rocky Linux:9");
    assert_eq!(named("ID=sles\nVERSION_ID=15.5\n"), "SUSE:Linux Enterprise Server 15 SP5");
    assert_eq!(named("ID=mine\nVERSION_ID=1\n"), "");
}
