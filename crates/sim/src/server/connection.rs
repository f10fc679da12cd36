//! The listener and its connections. HTTP is read and written here and in [`delivery`], without a
//! library that would mend what a fault breaks.

use super::delivery::{self, After};
use super::dispatch::{self, Errand};
use super::replies::empty_reply;
use super::request::{self, Incoming};
use super::state::Simulator;
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// An order to refuse connections for a while.
pub(super) struct Closure {
    pub(super) pause: Duration,
    /// Told once connections are refused.
    pub(super) closed: oneshot::Sender<()>,
}

const BACKLOG: u32 = 1024;
/// Before accepting is tried again, for instance while there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections until the simulator is asked to end, then lets the open ones finish their request.
pub(super) async fn listen(
    mut listener: TcpListener,
    simulator: Arc<Simulator>,
    mut closures: mpsc::UnboundedReceiver<Closure>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = simulator.stopped() => break,
            Some(closure) = closures.recv() => {
                drop(listener);
                listener = reopen(address, closure, &simulator).await?;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(stream, simulator.clone())); }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Listens again after a pause. The port stays bound meanwhile, so that nobody else gets it.
async fn reopen(
    address: SocketAddr,
    closure: Closure,
    simulator: &Simulator,
) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Whoever ordered the pause may have gone.
    let _ = closure.closed.send(());
    simulator.pause(closure.pause).await;
    socket.listen(BACKLOG)
}

/// A connection that breaks concerns nobody but its client.
async fn serve(mut stream: TcpStream, simulator: Arc<Simulator>) {
    drop(converse(&mut stream, &simulator).await);
}

async fn converse(stream: &mut TcpStream, simulator: &Arc<Simulator>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    loop {
        let incoming = tokio::select! {
            incoming = request::read(stream, &mut buffer) => incoming?,
            () = simulator.stopped() => return Ok(()),
        };
        let after = match incoming {
            Incoming::Call(call) => answer(stream, simulator, Errand::new(simulator, call)).await?,
            Incoming::Refused(status) => {
                delivery::refuse(stream, simulator, &empty_reply(status)).await?
            }
            Incoming::End => After::Close,
        };
        if after == After::Close {
            return Ok(());
        }
    }
}

async fn answer(
    stream: &mut TcpStream,
    simulator: &Arc<Simulator>,
    errand: Errand,
) -> io::Result<After> {
    if let Some(pause) = errand.pause_before() {
        tokio::select! {
            () = simulator.pause(pause) => {}
            () = gone(stream) => return Ok(After::Close),
        }
    }
    let reply = dispatch::answer(simulator, &errand).await;
    delivery::send(stream, simulator, &errand, &reply).await
}

/// Waits until the client closes the connection.
async fn gone(stream: &TcpStream) {
    let mut next = [0];
    // Another request that arrives early is not the end: it waits its turn.
    if matches!(stream.peek(&mut next).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}
