//! The gRPC contracts of Rollcall, generated at build time from `rollcall/*/v1/*.proto`.
//!
//! Read the `.proto` files: they carry the documentation. To add an RPC: write it there, with a comment on every
//! message and field, build, and implement the method the compiler now misses in the service's `api.rs`.

/// The shared envelope: `rollcall.common.v1`.
pub mod common {
    /// Version 1.
    pub mod v1 {
        #![allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            reason = "generated code"
        )]
        tonic::include_proto!("rollcall.common.v1");
    }
}

/// Users: `rollcall.identity.v1`.
pub mod identity {
    /// Version 1.
    pub mod v1 {
        #![allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            reason = "generated code"
        )]
        tonic::include_proto!("rollcall.identity.v1");
    }
}

/// Groups and membership queries: `rollcall.membership.v1`.
pub mod membership {
    /// Version 1.
    pub mod v1 {
        #![allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            reason = "generated code"
        )]
        tonic::include_proto!("rollcall.membership.v1");
    }
}

/// The provisioning log: `rollcall.journal.v1`.
pub mod journal {
    /// Version 1.
    pub mod v1 {
        #![allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            reason = "generated code"
        )]
        tonic::include_proto!("rollcall.journal.v1");
    }
}

/// Tenants, credentials, keys: `rollcall.token.v1`.
pub mod token {
    /// Version 1.
    pub mod v1 {
        #![allow(
            clippy::all,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            reason = "generated code"
        )]
        tonic::include_proto!("rollcall.token.v1");
    }
}

/// Every contract as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
