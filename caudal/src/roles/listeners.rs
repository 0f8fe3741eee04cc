//! Ports of a process: bound all at once, or said of each what is in its way.

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use futures::future::join_all;
use tokio::net::TcpListener;

use crate::settings::Given;

/// The name of the setting, the address and the port.
pub type Wanted = (&'static str, IpAddr, u16);

/// Binds all, or says which ones cannot be, and why.
///
/// # Errors
/// When a port is taken, or an address is not this machine's.
pub async fn bind<const N: usize>(wanted: [Wanted; N], given: &Given) -> anyhow::Result<[TcpListener; N]> {
    let mut bound = Vec::with_capacity(N);
    let mut faults = Vec::new();
    for listener in join_all(wanted.map(|one| bind_one(one, given))).await {
        match listener {
            Ok(listener) => bound.push(listener),
            Err(fault) => faults.push(fault),
        }
    }
    match bound.try_into() {
        Ok(all) => Ok(all),
        Err(_) => bail!(faults.join("\n  ")),
    }
}

/// A listener, or what is in its way and what to do about it.
async fn bind_one((setting, address, port): Wanted, given: &Given) -> Result<TcpListener, String> {
    let at = SocketAddr::from((address, port));
    let name = given.name(setting);
    TcpListener::bind(at).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{name}: another program listens on {at}; end that one, or set {name} to another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            let bind =
                given.name(if INTERNAL.contains(&setting) { "CAUDAL_INTERNAL_BIND" } else { "CAUDAL_BIND" });
            format!("{name}: {address} is not an address of this machine; set {bind} to one of its own, or to 0.0.0.0")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{name}: {at} may not be used; set {name} to a port above 1023, or give caudal CAP_NET_BIND_SERVICE")
        }
        _ => format!("{name}: cannot listen on {at}: {error}"),
    })
}

/// Host and port of a listener; `local` stands for an address that means this machine.
///
/// # Errors
/// When the system does not say where it is bound.
pub fn named(listener: &TcpListener, local: &str) -> io::Result<String> {
    let address = listener.local_addr()?;
    Ok(if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("{local}:{}", address.port())
    } else {
        address.to_string()
    })
}

/// The URL of a listener that speaks plain HTTP.
///
/// # Errors
/// When the system does not say where it is bound.
pub fn at(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Those that the world does not see.
const INTERNAL: [&str; 2] = ["CAUDAL_INTERNAL_PORT", "CAUDAL_ADMIN_PORT"];
