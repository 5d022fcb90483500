//! How the released worker is linked, so that little of it is resident.
//!
//! `link-order.gz` holds the names of functions that run while recorded bars are traded (`scripts/link-order` writes it).
//! Placed side by side they fill few pages; scattered, as compilers leave them, the system maps most of the program to get
//! at them. A name that no function bears any more is passed over by the linker, so an old list is worth less and never
//! wrong. Only where rustc links with its own linker by default does this apply, and only to releases.

use std::io::Read;
use std::path::Path;
use std::process::Command;

/// The first C library that knows relocations in their short form, a tenth of the usual one.
const SHORT_RELOCATIONS: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=link-order.gz");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let usual = var("TARGET") == "x86_64-unknown-linux-gnu"
        && var("HOST") == var("TARGET")
        && var("RUSTC_LINKER").is_empty()
        && !var("CARGO_ENCODED_RUSTFLAGS").contains("link");
    if !usual || var("PROFILE") != "release" {
        return;
    }
    let order = Path::new(&var("OUT_DIR")).join("link-order");
    match unpacked().and_then(|names| std::fs::write(&order, names)) {
        Ok(()) => {
            println!("cargo::rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", order.display());
            println!("cargo::rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
        }
        Err(error) => println!("cargo::warning=link-order.gz cannot be used: {error}"),
    }
    if glibc().is_some_and(|version| version >= SHORT_RELOCATIONS) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn unpacked() -> std::io::Result<Vec<u8>> {
    let mut names = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open("link-order.gz")?).read_to_end(&mut names)?;
    Ok(names)
}

/// The version of this machine's C library.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let said = String::from_utf8(said).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
