//! Passwords of the status page, kept as argon2id hashes.
//!
//! 7 MiB and five passes: of the settings OWASP holds equally strong the one that wants least memory (0.1 s on a desktop, half
//! a second on a Raspberry Pi, one at a time). The memory is one block, so that the system gets it back as soon as a
//! password is checked (`MALLOC_MMAP_THRESHOLD_` is fixed at the start; else the allocator would keep it for the next one).

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
/// A longer password is refused unread.
pub const PASSWORD_BYTES_MAX: usize = 256;

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("these are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a new password, for `[[http.user]] password_hash`.
///
/// # Errors
/// If the system has no randomness.
pub fn hash(password: &str) -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let salt = SaltString::encode_b64(&random).expect("16 bytes are a salt");
    Ok(argon2().hash_password(password.as_bytes(), &salt).expect("a password and a salt have a hash").to_string())
}

/// Whether `password` is the one of this hash. Takes its time whatever the answer.
pub fn verify(password: &str, hash: &str) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    PasswordHash::new(hash).is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether this is a hash that can be verified within reason (64 MiB, 10 passes).
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).ok().filter(|hash| hash.algorithm == argon2::ARGON2ID_IDENT).is_some_and(|hash| {
        Params::try_from(&hash).is_ok_and(|params| params.m_cost() <= 65_536 && params.t_cost() <= 10)
            && hash.hash.is_some()
    })
}

/// A hash of nobody's password: whoever names an unknown user waits as long as the others.
pub const NOBODY: &str =
    "$argon2id$v=19$m=7168,t=5,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hash = hash("сорок тысяч обезьян").expect("randomness");
        assert!(is_hash(&hash) && is_hash(NOBODY), "{hash}");
        assert!(verify("сорок тысяч обезьян", &hash));
        assert!(!verify("сорок тысяч", &hash) && !verify("", &hash) && !verify("", NOBODY));
        assert!(!is_hash("") && !is_hash("secret") && !is_hash(&hash.replace("m=7168", "m=9999999")));
    }
}
