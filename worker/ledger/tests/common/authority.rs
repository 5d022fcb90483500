//! Servers with certificates of an authority that tests make up.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::mariadb::{Database, Server};

/// An authority of our own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Whoever uses that database believes it from now on.
    pub(crate) fn trusted_by(&self, database: &Database) {
        std::fs::write(database.secret.path().join("ca.crt"), &self.pem).unwrap();
    }

    /// A server that shows a certificate for that name, valid until that year.
    pub(crate) fn server(&self, name: &str, until: i32) -> (Arc<Server>, TempDir) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let dir = TempDir::new().unwrap();
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("--ssl-{name}={}", path.display())
        };
        let extra =
            [file("cert", certificate.pem()), file("key", key.serialize_pem()), file("ca", self.pem.clone())];
        let server = Server::start(&extra.each_ref().map(String::as_str));
        (Arc::new(server), dir)
    }
}
