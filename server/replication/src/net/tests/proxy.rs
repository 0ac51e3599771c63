//! A cable between two nodes that can be pulled without either of them being told.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;

pub(super) struct Proxy {
    pub(super) address: String,
    pulled: watch::Sender<bool>,
    /// What went through: from who connects, and from both.
    asked: Arc<Mutex<Vec<u8>>>,
    seen: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Hands everything on to `target`, in both directions.
    pub(super) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (pulled, watched) = watch::channel(false);
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let asked: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (target, all, first) = (target.to_owned(), Arc::clone(&seen), Arc::clone(&asked));
        let task = async move {
            while let Ok((one, _)) = listener.accept().await {
                let Ok(other) = TcpStream::connect(&target).await else { continue };
                let ((one_in, one_out), (other_in, other_out)) = (one.into_split(), other.into_split());
                let both = [Arc::clone(&all), Arc::clone(&first)];
                spawn(carry(one_in, other_out, watched.clone(), both.into()));
                spawn(carry(other_in, one_out, watched.clone(), vec![Arc::clone(&all)]));
            }
        };
        Self { address, pulled, asked, seen, task: spawn(task) }
    }

    /// From now on nothing arrives; nobody is told.
    pub(super) fn pull(&self) {
        self.pulled.send_replace(true);
    }

    pub(super) fn plug_in(&self) {
        self.pulled.send_replace(false);
    }

    /// All that who connected has said.
    pub(super) fn said_by_client(&self) -> Vec<u8> {
        self.asked.lock().clone()
    }

    /// Whether these bytes went over the cable.
    pub(super) fn has_seen(&self, bytes: &[u8]) -> bool {
        self.seen.lock().windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[allow(clippy::disallowed_methods, reason = "a test is its own composition root")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut pulled: watch::Receiver<bool>,
    seen: Vec<Arc<Mutex<Vec<u8>>>>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if pulled.wait_for(|pulled| !pulled).await.is_err() || read == 0 {
            return;
        }
        seen.iter().for_each(|seen| seen.lock().extend_from_slice(&buffer[..read]));
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
