//! The key of an account: two files of a mounted Secret, `apiKey` and `apiSecret`, read again when they change.
//!
//! It promises that neither is ever formatted, logged or serialised, and that both come from one version of the Secret.
//! What it holds is wiped from memory when it is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use secrecy::SecretString;

/// The file of the key's public half, which travels in a header.
const KEY_FILE: &str = "apiKey";
/// The file of the half that signs.
const SECRET_FILE: &str = "apiSecret";
/// Longer than any key the venue gives out (64 characters): what is longer is another file.
const MOST_CHARACTERS: usize = 256;

/// Why a key cannot be used. The texts hold names of files and counts, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// No such file.
    #[error(
        "the Secret has no entry {file:?} (looked in {folder}); add it, with the key from the venue's key page"
    )]
    Missing {
        /// Which.
        file: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// It cannot be read.
    #[error("the entry {file:?} of the Secret cannot be read: {source}")]
    Unreadable {
        /// Which.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("the entry {file:?} of the Secret is empty; put the key from the venue's key page into it")]
    Empty {
        /// Which.
        file: &'static str,
    },
    /// Not what the venue gives out.
    #[error(
        "the entry {file:?} of the Secret is not a key: {characters} bytes, of which one is neither a letter nor a digit; paste it again without quotes, spaces or line breaks"
    )]
    Garbled {
        /// Which.
        file: &'static str,
        /// How long it is.
        characters: usize,
    },
    /// More than any key has.
    #[error(
        "the entry {file:?} of the Secret has {characters} bytes, more than any key; paste the key alone"
    )]
    TooLong {
        /// Which.
        file: &'static str,
        /// How long it is.
        characters: usize,
    },
}

/// The public half of the key. It names the account, so it is kept out of texts like the other half.
///
/// ```compile_fail
/// fn shown<T: std::fmt::Debug>() {}
/// shown::<tradewind_venues::binance_us::ApiKey>();
/// ```
pub struct ApiKey(pub(super) SecretString);

/// The half that signs. It has no `Debug`, no `Display`, no `Serialize` and no `Clone`.
///
/// ```compile_fail
/// fn shown<T: std::fmt::Debug>() {}
/// shown::<tradewind_venues::binance_us::ApiSecret>();
/// ```
pub struct ApiSecret(pub(super) SecretString);

/// Both halves.
pub struct Credentials {
    /// The public half.
    pub key: ApiKey,
    /// The half that signs.
    pub secret: ApiSecret,
}

impl Credentials {
    /// Checks two texts. One line break at the end is forgiven: `kubectl create secret --from-file` keeps it.
    pub fn parse(key: &str, secret: &str) -> Result<Self, CredentialsError> {
        let key = ApiKey(SecretString::from(checked(key, KEY_FILE)?));
        let secret = ApiSecret(SecretString::from(checked(secret, SECRET_FILE)?));
        Ok(Self { key, secret })
    }

    /// Reads both files of a folder.
    pub fn read(folder: &Path) -> Result<Self, CredentialsError> {
        // A mounted Secret changes by one link, `..data`. Behind it both files are of one version.
        let version = folder.join("..data");
        let folder = fs::canonicalize(&version).unwrap_or_else(|_| folder.to_owned());
        Self::parse(&text(&folder, KEY_FILE)?, &text(&folder, SECRET_FILE)?)
    }
}

fn text(folder: &Path, file: &'static str) -> Result<String, CredentialsError> {
    match fs::read(folder.join(file)) {
        Ok(bytes) => {
            let characters = bytes.len();
            String::from_utf8(bytes).map_err(|_| CredentialsError::Garbled { file, characters })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CredentialsError::Missing { file, folder: folder.to_owned() })
        }
        Err(source) => Err(CredentialsError::Unreadable { file, source }),
    }
}

fn checked(text: &str, file: &'static str) -> Result<String, CredentialsError> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let characters = text.len();
    if text.is_empty() {
        return Err(CredentialsError::Empty { file });
    }
    if characters > MOST_CHARACTERS {
        return Err(CredentialsError::TooLong { file, characters });
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(CredentialsError::Garbled { file, characters });
    }
    Ok(text.to_owned())
}

/// What tells one version of a mounted Secret from another.
type Version = (Option<PathBuf>, Option<SystemTime>, Option<SystemTime>);

/// The key in a folder, kept up to date.
pub struct KeyFolder {
    folder: PathBuf,
    version: Version,
    credentials: Credentials,
}

impl KeyFolder {
    /// Reads the key in that folder.
    pub fn open(folder: PathBuf) -> Result<Self, CredentialsError> {
        let version = version(&folder);
        let credentials = Credentials::read(&folder)?;
        Ok(Self { folder, version, credentials })
    }

    /// Reads the key again if its files have changed, and says whether they had. On an error the key from before stays
    /// in use, and the next call tries again.
    pub fn refresh(&mut self) -> Result<bool, CredentialsError> {
        let version = version(&self.folder);
        if version == self.version {
            return Ok(false);
        }
        self.credentials = Credentials::read(&self.folder)?;
        self.version = version;
        Ok(true)
    }

    /// The key in force.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

fn version(folder: &Path) -> Version {
    let changed = |file: &str| fs::metadata(folder.join(file)).and_then(|data| data.modified()).ok();
    (fs::read_link(folder.join("..data")).ok(), changed(KEY_FILE), changed(SECRET_FILE))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const KEY: &str = "testApiKey01";
    const SECRET: &str = "testSecret02";

    fn problem(key: &str, secret: &str) -> String {
        Credentials::parse(key, secret).err().unwrap().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_without_saying_the_key() {
        assert!(problem("", SECRET).contains("\"apiKey\" of the Secret is empty"));
        assert!(problem(KEY, "\n").contains("\"apiSecret\" of the Secret is empty"));
        for garbled in ["two words", "\"quoted\"", "line\nbreak", "ключ", "semi;colon", " lead", "trail "]
        {
            let text = problem(KEY, garbled);
            assert!(text.contains("is not a key") && !text.contains(garbled), "{text}");
        }
        let long = "x".repeat(257);
        assert!(problem(&long, SECRET).contains("has 257 bytes"));
        let kept = Credentials::parse("testApiKey01\r\n", SECRET).unwrap();
        assert_eq!(kept.key.0.expose_secret(), KEY);
    }

    #[test]
    fn a_missing_or_binary_entry_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = Credentials::read(folder.path()).err().unwrap().to_string();
        assert!(text.contains("no entry \"apiKey\""), "{text}");
        fs::write(folder.path().join(KEY_FILE), KEY).unwrap();
        let text = Credentials::read(folder.path()).err().unwrap().to_string();
        assert!(text.contains("no entry \"apiSecret\""), "{text}");
        fs::write(folder.path().join(SECRET_FILE), [0xff, 0xfe, 0x00]).unwrap();
        let text = Credentials::read(folder.path()).err().unwrap().to_string();
        assert!(text.contains("\"apiSecret\" of the Secret is not a key: 3 bytes"), "{text}");
    }

    /// As the kubelet does it: a folder a version, one link that says which one holds.
    #[cfg(unix)]
    #[test]
    fn a_rotated_secret_is_read_again_whole_and_a_broken_one_leaves_the_old_in_use() {
        use std::os::unix::fs::symlink;

        let mount = tempfile::tempdir().unwrap();
        let write = |version: &str, key: &str, secret: &str| {
            let folder = mount.path().join(version);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(KEY_FILE), key).unwrap();
            fs::write(folder.join(SECRET_FILE), secret).unwrap();
        };
        let point_to = |version: &str| {
            let (link, new) = (mount.path().join("..data"), mount.path().join("..data_tmp"));
            symlink(version, &new).unwrap();
            fs::rename(new, link).unwrap();
        };
        write("..1", KEY, SECRET);
        point_to("..1");
        for file in [KEY_FILE, SECRET_FILE] {
            symlink(Path::new("..data").join(file), mount.path().join(file)).unwrap();
        }
        let mut keys = KeyFolder::open(mount.path().to_owned()).unwrap();
        assert!(!keys.refresh().unwrap());

        write("..2", "otherKey", "otherSecret");
        point_to("..2");
        assert!(keys.refresh().unwrap());
        assert_eq!(keys.credentials().key.0.expose_secret(), "otherKey");
        assert_eq!(keys.credentials().secret.0.expose_secret(), "otherSecret");

        write("..3", "newKey", "");
        point_to("..3");
        assert!(keys.refresh().is_err());
        assert!(keys.refresh().is_err(), "an error is not remembered as the version in force");
        assert_eq!(keys.credentials().key.0.expose_secret(), "otherKey");
    }
}
