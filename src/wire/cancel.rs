//! BackendKeyData and CancelRequest. (Protocol chapter, "Canceling Requests in Progress".)

/// What names one PostgreSQL server process to a cancel request.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKey {
    pub process_id: i32,
    /// 4 bytes with protocol 3.0, up to 256 with 3.2.
    pub secret: Box<[u8]>,
}

impl BackendKey {
    /// The untagged CancelRequest packet.
    pub fn cancel_request(&self) -> Vec<u8> {
        const CODE: u32 = 1234 << 16 | 5678;
        let mut out = Vec::with_capacity(12 + self.secret.len());
        out.extend_from_slice(&((12 + self.secret.len()) as u32).to_be_bytes());
        out.extend_from_slice(&CODE.to_be_bytes());
        out.extend_from_slice(&self.process_id.to_be_bytes());
        out.extend_from_slice(&self.secret);
        out
    }
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackendKey({}, ********)", self.process_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_request_is_sixteen_bytes_with_a_short_key() {
        let key = BackendKey { process_id: 7, secret: Box::new([1, 2, 3, 4]) };
        assert_eq!(key.cancel_request(), [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4]);
    }
}
