//! Writes `crds/generated/<plural>.yaml`, one file a kind; with `--check` it writes nothing and fails when a file
//! differs from what the types give.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use tradewind_crds::manifest;
use tradewind_crds::objects::Kind;

#[derive(Debug, thiserror::Error)]
enum CrdgenError {
    #[error("unknown argument {argument:?}; use --check, --dir DIR or nothing")]
    Argument { argument: String },
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    #[error("{path} cannot be written: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{files}run `cargo run -p tradewind-crds --bin crdgen` and commit what it writes")]
    Stale { files: String },
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("crdgen: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), CrdgenError> {
    let mut check = false;
    let mut dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--dir" => dir = arguments.next().ok_or(CrdgenError::Argument { argument })?.into(),
            _ => return Err(CrdgenError::Argument { argument }),
        }
    }
    let mut stale = String::new();
    for kind in Kind::ALL {
        let path = dir.join(manifest::file_name(kind));
        let wanted = manifest::yaml(kind)?;
        let found = fs::read_to_string(&path).unwrap_or_default();
        if found == wanted {
            continue;
        }
        if check {
            let _ = writeln!(stale, "{} differs from the types in crds/src; ", path.display());
        } else {
            let write = || fs::create_dir_all(&dir).and_then(|()| fs::write(&path, &wanted));
            write().map_err(|source| CrdgenError::Write { path: path.clone(), source })?;
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(CrdgenError::Stale { files: stale }) }
}
