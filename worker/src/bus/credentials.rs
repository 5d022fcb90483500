//! What it takes to be let into a Redis, from the files of a Secret as they are now.

use std::fmt;
use std::path::Path;

use tradewind_core::config::RedisConfig;

use super::error::BusError;

/// User, password and authority; never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Credentials {
    /// None: the default user.
    pub(super) username: Option<String>,
    /// None: nothing is asked for.
    pub(super) password: Option<String>,
    /// PEM; none: public authorities.
    pub(super) authority: Option<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Reads `password`, and `username` and `ca.crt` where they are there. Without a Secret there are none.
    pub(super) fn read(redis: &RedisConfig, folder: Option<&Path>) -> Result<Self, BusError> {
        let Some(secret) = &redis.credentials else { return Ok(Self::default()) };
        let folder = folder.ok_or_else(|| BusError::NoFolder { secret: secret.to_string() })?;
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| BusError::Credentials { path, source })
        };
        let optional = |name: &str| match read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BusError::Credentials { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        };
        let authority = optional("ca.crt")?;
        // A Secret may hold an authority alone.
        let password = match optional("password")? {
            None if authority.is_none() => Some(read("password")?),
            password => password,
        };
        let username = optional("username")?;
        Ok(Self {
            username: username.as_deref().map(line),
            password: password.as_deref().map(line),
            authority,
        })
    }
}

/// A file of one line often ends in a line break that is no part of it.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\r', '\n']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(secret: Option<&str>) -> RedisConfig {
        RedisConfig {
            host: "localhost".into(),
            port: 6379,
            database: 0,
            tls: false,
            credentials: secret.map(Into::into),
        }
    }

    #[test]
    fn files_are_read_as_they_are_now_and_nothing_of_them_is_shown() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path();
        assert_eq!(Credentials::read(&redis(None), None).unwrap(), Credentials::default());
        let text = Credentials::read(&redis(Some("bus")), None).unwrap_err().to_string();
        assert!(text.contains("Secret bus") && text.contains("--bus-credentials"), "{text}");
        let text = Credentials::read(&redis(Some("bus")), Some(path)).unwrap_err().to_string();
        assert!(text.contains("password") && text.contains("put it into the Secret"), "{text}");
        std::fs::write(path.join("password"), "s3cret\n").unwrap();
        std::fs::write(path.join("username"), "tradewind\r\n").unwrap();
        let read = Credentials::read(&redis(Some("bus")), Some(path)).unwrap();
        assert_eq!((read.username.as_deref(), read.password.as_deref()), (Some("tradewind"), Some("s3cret")));
        assert!(!format!("{read:?}").contains("s3cret"));
        std::fs::write(path.join("password"), "other").unwrap();
        assert_ne!(Credentials::read(&redis(Some("bus")), Some(path)).unwrap(), read);
    }

    #[test]
    fn a_secret_may_hold_an_authority_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.crt"), "pem").unwrap();
        let read = Credentials::read(&redis(Some("bus")), Some(dir.path())).unwrap();
        assert_eq!((read.password, read.authority), (None, Some(b"pem".to_vec())));
    }
}
