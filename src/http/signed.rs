//! Whose signed request this is: keys, clocks, nonces. How a signature is made is in [`crate::sign`].

use std::collections::{HashSet, VecDeque};

use super::links::{self, BadLink};
use super::office::Crm;
use super::request::{Method, Request};
use crate::clock::Now;
use crate::sign::{self, Headers};

/// Nonces remembered at once, of all CRMs: a hundred signed orders a second for ten minutes.
const NONCES_MAX: usize = 65_536;

/// Why a request is not taken for that of a CRM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsigned {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Unsigned {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// The CRMs and what they have used up.
#[derive(Debug)]
pub struct Keys {
    crms: Vec<Crm>,
    /// Below which our own path begins, where a proxy takes something off before it: `/pbx` of `https://x/pbx`.
    outside_path: String,
    seen: HashSet<(usize, [u8; 32])>,
    /// The same with the second each came in, oldest first.
    by_age: VecDeque<(i64, usize, [u8; 32])>,
}

impl Keys {
    pub fn new(crms: Vec<Crm>, public_url: Option<&str>) -> Self {
        let path =
            public_url.and_then(|url| url.split_once("://")).and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let outside_path = path.unwrap_or_default().trim_end_matches('/').to_owned();
        Self { crms, outside_path, seen: HashSet::new(), by_age: VecDeque::new() }
    }

    /// New keys; nonces are remembered on, where the CRM's place in the list is the same.
    pub fn reload(&mut self, crms: Vec<Crm>) {
        let same = self.crms.iter().map(|crm| &crm.name).eq(crms.iter().map(|crm| &crm.name));
        self.crms = crms;
        if !same {
            // Whose nonce was whose is no longer known; that opens a replay of at most 300 s of one CRM's own requests.
            self.seen.clear();
            self.by_age.clear();
        }
    }

    pub fn crms(&self) -> &[Crm] {
        &self.crms
    }

    /// The CRM that signed this request. What changes something is taken once.
    ///
    /// # Errors
    /// [`Unsigned`], in words fit for the other side.
    pub fn signer(&mut self, request: &Request, now: Now) -> Result<&Crm, Unsigned> {
        let Some(key) = request.header("x-pin-key") else {
            return Err(Unsigned::new(401, "unsigned", "this needs a signed request (X-PIN-Key and the others)"));
        };
        let Some(nth) = self.crms.iter().position(|crm| crm.name == key) else {
            return Err(Unsigned::new(401, "unknown_key", "no [[crm]] section has the name in X-PIN-Key"));
        };
        let headers = Headers {
            time: request.header("x-pin-time"),
            nonce: request.header("x-pin-nonce"),
            signature: request.header("x-pin-signature"),
        };
        let now_s = now.wall_ms.div_euclid(1000);
        let secret = &self.crms[nth].secret;
        let target = &*request.head.target;
        let method = request.method().as_str();
        let mut verified = sign::verify(secret, method, target, &request.body, headers, now_s);
        if verified == Err(sign::Refusal::Signature) && !self.outside_path.is_empty() {
            let outside = format!("{}{target}", self.outside_path);
            verified = sign::verify(secret, method, &outside, &request.body, headers, now_s);
        }
        let nonce = verified.map_err(|refusal| {
            let code = match refusal {
                sign::Refusal::Malformed(_) => "unsigned",
                sign::Refusal::Clock { .. } => "clock",
                sign::Refusal::Signature => "signature",
            };
            Unsigned::new(401, code, refusal.to_string())
        })?;
        if !matches!(request.method(), Method::Get | Method::Head) {
            self.use_up(nth, nonce, now_s)?;
        }
        Ok(&self.crms[nth])
    }

    /// The CRM that signed this link.
    ///
    /// # Errors
    /// [`BadLink`].
    pub fn signer_of_link(&self, target: &str, now: Now) -> Result<&Crm, BadLink> {
        let key = links::key_of(target).ok_or(BadLink::None)?;
        let crm = self.crms.iter().find(|crm| crm.name == key).ok_or(BadLink::Signature)?;
        links::verify(&crm.secret, target, now.wall_ms.div_euclid(1000))?;
        Ok(crm)
    }

    /// The CRM with the stock module whose secret this is.
    pub fn by_stock_secret(&self, secret: &str) -> Option<&Crm> {
        let mut found = None;
        for crm in self.crms.iter().filter(|crm| crm.is_stock) {
            // All are compared, so that the time does not tell which came near.
            if sign::same_secret(crm.secret.expose(), secret) && !crm.secret.is_empty() {
                found = Some(crm);
            }
        }
        found
    }

    fn use_up(&mut self, nth: usize, nonce: &str, now_s: i64) -> Result<(), Unsigned> {
        while let Some((at, of, old)) = self.by_age.front().copied() {
            if now_s - at < sign::NONCE_MEMORY_S {
                break;
            }
            self.seen.remove(&(of, old));
            self.by_age.pop_front();
        }
        let mut key = [0; 32];
        key.copy_from_slice(nonce.to_ascii_lowercase().as_bytes().get(..32).expect("a verified nonce has 32 digits"));
        if self.seen.contains(&(nth, key)) {
            return Err(Unsigned::new(401, "replayed", "this request was here before (X-PIN-Nonce)"));
        }
        if self.seen.len() >= NONCES_MAX {
            return Err(Unsigned::new(429, "too_many", "too many signed requests within ten minutes"));
        }
        self.seen.insert((nth, key));
        self.by_age.push_back((now_s, nth, key));
        Ok(())
    }
}
