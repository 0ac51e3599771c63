//! The metadata services of clouds: AWS ([IMDSv2](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html)),
//! Google Cloud ([metadata server](https://cloud.google.com/compute/docs/metadata/querying-metadata)), Azure
//! ([IMDS](https://learn.microsoft.com/en-us/azure/virtual-machines/instance-metadata-service)).
//!
//! Only the cloud that the firmware names is asked, at the one link-local address that all of them use, and not for long.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Method, Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// The address that instances reach their metadata service at.
pub(super) const SERVICE: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
/// For each request: the service is on the same host.
const WITHIN: Duration = Duration::from_millis(500);
/// An address is short; whatever is longer is something else.
const LONGEST_ANSWER: usize = 1_024;

/// Where the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    Aws,
    Google,
    Azure,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum CloudError {
    #[error("no answer within {} ms", WITHIN.as_millis())]
    Slow,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("its answer is no address of this machine: {0:?}")]
    Address(String),
}

/// One request: method, path, header.
type Question<'a> = (Method, &'static str, (&'static str, &'a str));

impl Cloud {
    pub(super) fn of_this_machine() -> Option<Self> {
        Self::of(Path::new("/sys/class/dmi/id"))
    }

    /// As the firmware says.
    pub(super) fn of(dmi: &Path) -> Option<Self> {
        let says = |file: &str| std::fs::read_to_string(dmi.join(file)).unwrap_or_default();
        let vendor = says("sys_vendor");
        match vendor.trim() {
            "Amazon EC2" => Some(Self::Aws),
            // Older instances.
            "Xen" if says("product_version").contains("amazon") => Some(Self::Aws),
            "Google" => Some(Self::Google),
            // Any machine of that maker has the name; the tag is Azure's.
            "Microsoft Corporation"
                if says("chassis_asset_tag").trim() == "7783-7084-3265-9085-8269-3286-77" =>
            {
                Some(Self::Azure)
            }
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS instance metadata",
            Self::Google => "Google Cloud metadata",
            Self::Azure => "Azure instance metadata",
        }
    }

    /// The address in the cloud's own network.
    ///
    /// # Errors
    /// No answer in time, or none that is an address.
    pub(super) async fn private_address(self, service: SocketAddr) -> Result<IpAddr, CloudError> {
        let text = match self {
            Self::Aws => {
                let put = (Method::PUT, "/latest/api/token", ("X-aws-ec2-metadata-token-ttl-seconds", "60"));
                let token = ask(service, put).await?;
                let get = ("X-aws-ec2-metadata-token", token.as_str());
                ask(service, (Method::GET, "/latest/meta-data/local-ipv4", get)).await?
            }
            Self::Google => {
                let path = "/computeMetadata/v1/instance/network-interfaces/0/ip";
                ask(service, (Method::GET, path, ("Metadata-Flavor", "Google"))).await?
            }
            Self::Azure => {
                let path = "/metadata/instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress?api-version=2021-02-01&format=text";
                ask(service, (Method::GET, path, ("Metadata", "true"))).await?
            }
        };
        super::usable(&text).ok_or(CloudError::Address(text))
    }
}

async fn ask(service: SocketAddr, question: Question<'_>) -> Result<String, CloudError> {
    timeout(WITHIN, answer(service, question)).await.unwrap_or(Err(CloudError::Slow))
}

async fn answer(service: SocketAddr, (method, path, header): Question<'_>) -> Result<String, CloudError> {
    let stream = TcpStream::connect(service).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", service.to_string())
        .header(header.0, header.1)
        .body(Empty::<Bytes>::new())
        .map_err(|error| CloudError::Body(error.into()))?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(CloudError::Status(status.as_u16()));
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(CloudError::Body)?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    // Where the connection fails, so does the exchange, which says why.
    let (answer, _ended) = tokio::join!(exchange, connection);
    answer
}
