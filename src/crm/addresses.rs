//! Where a CRM is on the network.
//!
//! ureq asks the system before each request, also where a connection is open, and starts a thread for it so that the answer may
//! take too long. An address in figures needs no asking, and a name's addresses are good for a while.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
// Not under ureq's promise of stability; a new version of it may want this file changed.
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long the answer of the name servers is used again while requests go well.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The addresses of one CRM; clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    usual: Arc<DefaultResolver>,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Debug)]
struct Known {
    of: Uri,
    since: Instant,
    addresses: Vec<SocketAddr>,
}

impl Addresses {
    /// A request failed: the next one asks anew.
    pub fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn collect(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        let mut collected = self.empty();
        addresses.iter().for_each(|address| collected.push(*address));
        collected
    }
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if let Some(address) = in_figures(uri) {
            return Ok(self.collect(&[address]));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < KNOWN_FOR && known.of == *uri) {
            return Ok(self.collect(&known.addresses));
        }
        let found = self.usual.resolve(uri, config, timeout)?;
        *known = Some(Known { of: uri.clone(), since: Instant::now(), addresses: found.to_vec() });
        Ok(found)
    }
}

/// `192.0.2.7`, `[2001:db8::7]`, with the port that is named or that the scheme has.
fn in_figures(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let port = uri.port_u16().or(match uri.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    #[test]
    fn addresses_in_figures_need_no_name_server() {
        assert_eq!(in_figures(&uri("http://192.0.2.7/x")), "192.0.2.7:80".parse().ok());
        assert_eq!(in_figures(&uri("https://192.0.2.7/x")), "192.0.2.7:443".parse().ok());
        assert_eq!(in_figures(&uri("https://[2001:db8::7]:8443/x")), "[2001:db8::7]:8443".parse().ok());
        assert_eq!(in_figures(&uri("https://crm.example/x")), None);
        // A name, whatever it looks like.
        assert_eq!(in_figures(&uri("https://192.0.2.7.example/x")), None);
    }

    #[test]
    fn a_name_is_asked_for_once_until_a_request_fails() {
        let (addresses, config) = (Addresses::default(), Config::default());
        let uri = uri("http://localhost:8080/x");
        let ask = || addresses.resolve(&uri, &config, NextTimeout::default()).expect("this machine").to_vec();
        let first = ask();
        assert!(first.iter().all(|address| address.ip().is_loopback() && address.port() == 8080), "{first:?}");
        // What is known now is told again, though no name server says it.
        let told = vec!["192.0.2.9:8080".parse().expect("an address")];
        addresses.known.lock().expect("not poisoned").as_mut().expect("it is known").addresses.clone_from(&told);
        assert_eq!(ask(), told);
        addresses.clone().forget();
        assert_eq!(ask(), first);
    }
}
