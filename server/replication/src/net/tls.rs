//! TLS between members. Each of them has a certificate that names its member id, signed by the cluster's authority, and
//! both sides show theirs. The authority's key comes from the seed of the cluster's secret: whoever has joined can certify
//! itself, there is no file to lose and nothing to be handed round, and no certificate ends (a clock that jumps must not
//! take a cluster down). Members are let go of by the metadata, not by their certificates.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::secret::derive_bytes;
use crate::raft::RaftId;

/// PKCS #8 version 1 around an Ed25519 key (RFC 8410): the 32 bytes follow.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What both sides of one connection know and nobody else does (RFC 5705, RFC 8446 section 7.5).
const BINDING: &[u8] = b"EXPORTER-flymq-peer";
const BINDING_LEN: usize = 32;

/// This member's side of TLS.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    cluster: [u8; 16],
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// Ties the handshake inside to the TLS around it.
pub(super) type Binding = [u8; BINDING_LEN];

impl Tls {
    /// Certifies this member.
    ///
    /// # Errors
    /// A sentence of the library: the system has no randomness, or the seed is none.
    pub(super) fn new(seed: &str, cluster: [u8; 16], me: RaftId) -> Result<Self, String> {
        let root = root_of(seed, cluster).map_err(|error| error.to_string())?;
        let (certificate, key) = Self::certificate(seed, cluster, me).map_err(|error| error.to_string())?;
        Self::from_parts(root, certificate, key, cluster).map_err(|error| error.to_string())
    }

    /// A new certificate of this member, and its key.
    pub(super) fn certificate(
        seed: &str,
        cluster: [u8; 16],
        me: RaftId,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let (authority, _) = authority(seed, cluster)?;
        let key = KeyPair::generate()?;
        let certificate = member(me, cluster)?.signed_by(&key, &authority)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate.der().clone(), PrivateKeyDer::from(key)))
    }

    fn from_parts(
        root: CertificateDer<'static>,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        cluster: [u8; 16],
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let roots = Arc::new(roots);
        let asked = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let asked = asked.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        let versions = &[&rustls::version::TLS13];
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(asked)
            .with_single_cert(vec![certificate.clone()], key.clone_key())?;
        // Each connection shows its certificates anew.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        client.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            cluster,
        })
    }

    /// Connects to a member, whose certificate must name it.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        to: RaftId,
    ) -> io::Result<(client::TlsStream<TcpStream>, Binding)> {
        let stream = self.connector.connect(name(to, self.cluster)?, stream).await?;
        let binding = stream.get_ref().1.export_keying_material([0; BINDING_LEN], BINDING, None);
        Ok((stream, binding.map_err(io::Error::other)?))
    }

    /// Takes a connection of somebody with a certificate of this cluster.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(server::TlsStream<TcpStream>, Binding, CertificateDer<'static>)> {
        let stream = self.acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        let binding = session.export_keying_material([0; BINDING_LEN], BINDING, None);
        let shown = session.peer_certificates().and_then(|chain| chain.first()).cloned();
        let shown = shown.ok_or_else(|| io::Error::other("no certificate was shown"))?;
        Ok((stream, binding.map_err(io::Error::other)?, shown))
    }

    /// Whether a certificate of this cluster is the one of this member.
    pub(super) fn names(&self, certificate: &CertificateDer<'_>, member: RaftId) -> bool {
        let (Ok(name), Ok(parsed)) = (name(member, self.cluster), ParsedCertificate::try_from(certificate))
        else {
            return false;
        };
        rustls::client::verify_server_name(&parsed, &name).is_ok()
    }
}

/// What a member's certificate is for.
fn host(member: RaftId, cluster: [u8; 16]) -> String {
    format!("{member:016x}.{:032x}.flymq.internal", u128::from_be_bytes(cluster))
}

fn name(member: RaftId, cluster: [u8; 16]) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host(member, cluster)).map_err(io::Error::other)
}

fn params(common_name: String, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn member(me: RaftId, cluster: [u8; 16]) -> Result<CertificateParams, rcgen::Error> {
    let host = host(me, cluster);
    let mut params = params(format!("FlyMQ member {me:016x}"), vec![host])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// The same for everybody with the seed.
fn authority(
    seed: &str,
    cluster: [u8; 16],
) -> Result<(Issuer<'static, KeyPair>, CertificateDer<'static>), rcgen::Error> {
    let secret = derive_bytes(seed, "flymq certificate authority");
    let document = [&PKCS8_ED25519[..], secret.as_ref()].concat();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(document), &PKCS_ED25519)?;
    let mut params = params(format!("FlyMQ cluster {:032x}", u128::from_be_bytes(cluster)), Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&key)?.der().clone();
    Ok((Issuer::new(params, key), root))
}

/// The certificate of the authority: all that members trust.
pub(super) fn root_of(seed: &str, cluster: [u8; 16]) -> Result<CertificateDer<'static>, rcgen::Error> {
    Ok(authority(seed, cluster)?.1)
}
