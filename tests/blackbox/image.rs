//! Small images of a test's own: the host's static busybox, and whatever a script puts beside it.

use std::process::Command;

use crate::server::Server;

const APPLETS: &str = "sh sleep cat echo ls stat mkdir touch readlink test true id wget env printf grep find mount";

/// `$1` is the directory that becomes the root, `$2` the archive.
const BASE: &str = "set -e; umask 022; mkdir -p $1/bin $1/etc $1/tmp; cp $(command -v busybox) $1/bin/busybox; \
    for applet in $APPLETS; do ln -s busybox $1/bin/$applet; done; cd $1";
const PACK: &str = "tar --xattrs --xattrs-include='*' --numeric-owner -cf $2 .";

impl Server {
    /// Makes an image; `script` runs in its root directory, `options` are those of `cove image import`. Its reference.
    pub(crate) fn image(&self, name: &str, script: &str, options: &[&str]) -> String {
        let root = self.home().join(format!("image-{name}"));
        let archive = root.with_extension("tar");
        let packed = Command::new("sh")
            .env("APPLETS", APPLETS)
            .args(["-c", &format!("{BASE}; {script}\n{PACK}"), "sh"])
            .args([&root, &archive])
            .output()
            .unwrap();
        assert!(packed.status.success(), "{packed:?}");
        let mut import = vec!["image", "import", "--env", "PATH=/bin"];
        import.extend(options);
        import.extend([archive.to_str().unwrap(), name]);
        let imported = self.cove(&import);
        assert!(imported.status.success(), "{imported:?}");
        std::fs::remove_dir_all(root).unwrap();
        format!("127.0.0.1:{}/{name}:latest", self.port)
    }
}
