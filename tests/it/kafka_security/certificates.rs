//! The certificates of the tests: two authorities, and what they have signed, as PEM files in one folder.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Writes `ca.pem`, `other-ca.pem`, and for each of `broker`, `other-broker`, `svc`, `expired` and `stranger` the
/// certificate `NAME.pem` and the key `NAME.key`; `NAME-store.pem` has both and the authority, as Kafka reads them.
pub(crate) fn write(folder: &Path) {
    let ca = authority("lifecycle test authority");
    let other = authority("another authority");
    fs::write(folder.join("ca.pem"), ca.1.pem()).unwrap();
    fs::write(folder.join("other-ca.pem"), other.1.pem()).unwrap();
    for (name, hosts, authority, is_expired) in [
        ("broker", vec!["127.0.0.1"], &ca, false),
        ("other-broker", vec!["127.0.0.1"], &other, false),
        ("svc", Vec::new(), &ca, false),
        ("expired", Vec::new(), &ca, true),
        ("stranger", Vec::new(), &other, false),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(hosts.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if is_expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let certificate = params.signed_by(&key, &authority.0).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        let store = format!("{}{}{}", key.serialize_pem(), certificate.pem(), authority.1.pem());
        fs::write(folder.join(format!("{name}-store.pem")), store).unwrap();
    }
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Kafka requires that authorities have names of their own.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate)
}
