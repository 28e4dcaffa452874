//! From the console to whoever does it: what an operator wants of the cluster, or a reload, and what became of it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::cluster::Order;

/// More wait for none of them to be taken.
const MAX_WAITING: usize = 16;

pub struct Orders {
    sender: mpsc::Sender<Request>,
    inbox: Mutex<Option<mpsc::Receiver<Request>>>,
}

pub struct Request {
    pub order: Order,
    /// `Ok`: what was done; `Err`: why not. In words.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// Whoever is told what became of a reload.
pub type Asked = oneshot::Sender<Result<String, String>>;

/// From the console to the proxy, which alone reads the configuration's file.
pub struct Reloads {
    sender: mpsc::Sender<Asked>,
    inbox: Mutex<Option<mpsc::Receiver<Asked>>>,
}

// === impl Reloads ===

impl Reloads {
    /// What has changed, or why nothing has.
    pub async fn ask(&self) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(answer).map_err(|_| "the proxy is busy with another reload".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the proxy stops".to_owned()))
    }

    /// For the proxy; `None` for whoever comes second.
    pub fn take_inbox(&self) -> Option<mpsc::Receiver<Asked>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Default for Reloads {
    fn default() -> Self {
        let (sender, inbox) = mpsc::channel(MAX_WAITING);
        Self { sender, inbox: Mutex::new(Some(inbox)) }
    }
}

// === impl Orders ===

impl Orders {
    /// Waits until the order is carried out or refused; a switchover may take as long as `failover.drain` and some seconds.
    pub async fn give(&self, order: Order) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        let sent = self.sender.try_send(Request { order, answer });
        sent.map_err(|_| "the monitor is busy with other orders; try again".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the monitor was restarted; see SHOW EVENTS".to_owned()))
    }

    /// For the monitor, which is the only one to take orders; `None` for whoever comes second.
    pub fn take_inbox(&self) -> Option<mpsc::Receiver<Request>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Default for Orders {
    fn default() -> Self {
        let (sender, inbox) = mpsc::channel(MAX_WAITING);
        Self { sender, inbox: Mutex::new(Some(inbox)) }
    }
}
