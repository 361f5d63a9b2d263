//! Lets the release's linker keep one of the functions that are the same machine code, as instances of generic ones for many
//! types are: 1 MB less. Nothing of ours compares addresses of functions, and Rust does not promise that they differ.

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    // rustc links with lld there, since 1.90.
    let has_lld = is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_OS", "linux");
    if is("PROFILE", "release") && has_lld {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
