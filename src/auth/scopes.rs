//! What a method asks of its caller. The table stands in `grpc::methods`; a method that is not in it is not served.

use crate::domain::{
    Refusal,
    access::{Identity, Scope},
};

/// What a method asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a credential.
    Nothing,
    /// A valid credential.
    Credential,
    /// A credential with all of these scopes.
    Scopes(&'static [Scope]),
}

// === impl Needs ===

impl Needs {
    /// Refuses a caller that has not what is asked for.
    ///
    /// # Errors
    /// `SCOPE_REQUIRED`, with the first scope that is missing.
    pub fn check(self, identity: &Identity) -> Result<(), Refusal> {
        match self {
            Self::Nothing | Self::Credential => Ok(()),
            Self::Scopes(scopes) => scopes.iter().try_for_each(|scope| identity.require(*scope)),
        }
    }
}
