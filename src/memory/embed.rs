//! What turns texts into vectors.

use crate::domain::refusal::Refusal;
use async_trait::async_trait;

/// An embedding model. Texts of one call are bounded by its caller: at most [`BATCH_MAX_TEXTS`].
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// Names the model; vectors of another one are never compared with its.
    fn model(&self) -> &str;

    /// One vector for each text, in order, all of one length.
    ///
    /// # Errors
    /// The model does not answer, or answers something else.
    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Refusal>;
}

/// Texts of one call.
pub const BATCH_MAX_TEXTS: usize = 32;
