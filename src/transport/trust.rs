//! Certificates of one's own, from the files that the environment names.
//!
//! A company's proxy that opens TLS signs with its own authority; every client on the machine has to be
//! told. A file that cannot be used is a mistake to mend before anything is sent: without it every
//! connection would fail for a reason that names no file.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

/// Variables whose file is trusted besides the system's certificates: Codex's (`codex-client`,
/// `custom_ca`) and the AWS SDKs' (https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html),
/// both read 2026-11-21.
const ADDED: [&str; 2] = ["CODEX_CA_CERTIFICATE", "AWS_CA_BUNDLE"];

/// Variables that stand in place of the system's certificates, as for OpenSSL: a file, and folders of
/// files.
const IN_PLACE: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Certificates of one variable.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub variable: &'static str,
    /// Whether they come on top of the system's. The others are read by the TLS libraries themselves,
    /// and are here because they were checked.
    pub added: bool,
    pub certificates: Vec<CertificateDer<'static>>,
    /// The file as it is; empty where there are several.
    pub pem: Vec<u8>,
}

/// A bundle that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable}={place}: {reason}\n  help: name a file with certificates in PEM form, or unset {variable}"
)]
pub struct Unusable {
    pub variable: &'static str,
    /// The file or folder.
    pub place: String,
    pub reason: String,
}

/// Reads and checks what the environment names. `get` gives a variable as it is.
pub fn bundles<'a>(get: &dyn Fn(&str) -> Option<&'a str>) -> Result<Vec<Bundle>, Unusable> {
    let mut bundles = Vec::new();
    for variable in ADDED.into_iter().chain(IN_PLACE) {
        let Some(value) = get(variable) else {
            continue;
        };
        let added = ADDED.contains(&variable);
        if value.trim().is_empty() {
            if added {
                continue;
            }
            // The TLS libraries look for a file of no name, and trust nobody.
            return Err(Unusable {
                variable,
                place: String::new(),
                reason: "is set to nothing".to_owned(),
            });
        }
        bundles.push(if variable == "SSL_CERT_DIR" {
            folders(variable, value)?
        } else {
            file(variable, value, added)?
        });
    }
    Ok(bundles)
}

fn file(variable: &'static str, path: &str, added: bool) -> Result<Bundle, Unusable> {
    let unusable = |reason: String| Unusable {
        variable,
        place: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let found = rustls_native_certs::load_certs_from_paths(Some(Path::new(path)), None);
    if let Some(error) = found.errors.first() {
        return Err(unusable(format!("cannot be used: {error}")));
    }
    if found.certs.is_empty() {
        return Err(unusable("holds no certificate in PEM form".to_owned()));
    }
    for (index, certificate) in found.certs.iter().enumerate() {
        if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
            return Err(unusable(format!(
                "certificate {} of {} cannot be used: {error}",
                index + 1,
                found.certs.len()
            )));
        }
    }
    Ok(Bundle {
        variable,
        added,
        certificates: found.certs,
        pem,
    })
}

fn folders(variable: &'static str, value: &str) -> Result<Bundle, Unusable> {
    let mut certificates = Vec::new();
    for folder in std::env::split_paths(value) {
        if let Err(error) = std::fs::read_dir(&folder) {
            return Err(Unusable {
                variable,
                place: folder.display().to_string(),
                reason: format!("cannot be read: {error}"),
            });
        }
        // A broken file beside good ones does no harm: the TLS libraries pass over it too.
        let found = rustls_native_certs::load_certs_from_paths(None, Some(&folder));
        let usable =
            |one: &CertificateDer<'static>| RootCertStore::empty().add(one.clone()).is_ok();
        certificates.extend(found.certs.into_iter().filter(usable));
    }
    if certificates.is_empty() {
        return Err(Unusable {
            variable,
            place: value.to_owned(),
            reason: "holds no file with a certificate in PEM form".to_owned(),
        });
    }
    Ok(Bundle {
        variable,
        added: false,
        certificates,
        pem: Vec::new(),
    })
}

/// The reason of a failed connection, with what helps where a certificate is not trusted.
pub fn explained(reason: String) -> String {
    // The words of rustls for every fault of a certificate.
    if !reason.contains("invalid peer certificate") {
        return reason;
    }
    if reason.contains("UnknownIssuer") {
        format!(
            "{reason}; nobody trusted here has signed the server's certificate: put the certificate of its \
             authority (PEM) into a file and name that in AWS_CA_BUNDLE or CODEX_CA_CERTIFICATE (besides the \
             system's) or SSL_CERT_FILE (in place of them)"
        )
    } else {
        format!("{reason}; the server's certificate does not fit its name or the time")
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::trust::{bundles, explained};

    fn refusal(variable: &str, value: &str) -> String {
        let get = |name: &str| (name == variable).then_some(value);
        bundles(&get).map_or_else(
            |error| error.to_string(),
            |all| format!("{} used", all.len()),
        )
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let empty = write("empty.pem", "");
        let junk = write(
            "junk.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        for (variable, value, said) in [
            ("SSL_CERT_FILE", "/nowhere/ca.pem", "cannot be read"),
            ("AWS_CA_BUNDLE", "/nowhere/ca.pem", "cannot be read"),
            ("CODEX_CA_CERTIFICATE", &empty, "no certificate in PEM form"),
            ("AWS_CA_BUNDLE", &junk, "certificate 1 of 1 cannot be used"),
            ("SSL_CERT_FILE", " ", "is set to nothing"),
            ("AWS_CA_BUNDLE", " ", "0 used"),
            ("SSL_CERT_DIR", "/nowhere", "cannot be read"),
            ("OTHER", "x", "0 used"),
        ] {
            let text = refusal(variable, value);
            assert!(text.contains(said), "{variable}={value}: {text}");
        }
        let dir = folder.path().display().to_string();
        assert!(refusal("SSL_CERT_DIR", &dir).contains("holds no file with a certificate"));
    }

    #[test]
    fn only_certificates_are_explained() {
        assert_eq!(explained("dns error".to_owned()), "dns error");
        let text = explained("invalid peer certificate: UnknownIssuer".to_owned());
        assert!(text.contains("AWS_CA_BUNDLE"), "{text}");
    }
}
