//! ECS's error codes. The texts are the client's: where AWS's own wording is known it is used.

use cove_store::StoreError;
use serde_json::{Map, Value, json};

use crate::ApiError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EcsError {
    #[error("{0}")]
    Client(String),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    AccessDenied(String),
    #[error("Cluster not found.")]
    ClusterNotFound,
    #[error("The Cluster cannot be deleted while Tasks are active.")]
    ClusterContainsTasks,
    #[error("The Cluster cannot be deleted while Container Instances are active or draining.")]
    ClusterContainsContainerInstances,
    #[error("The Cluster cannot be deleted while Services are active.")]
    ClusterContainsServices,
    #[error("The specified capacity provider is in use and cannot be removed.")]
    ProviderInUse,
    #[error("There is no update available for your container agent.")]
    NoUpdateAvailable,
    #[error("The version of the container agent is not known.")]
    MissingVersion,
    #[error("Service not found.")]
    ServiceNotFound,
    #[error("Service was not ACTIVE.")]
    ServiceNotActive,
    #[error("{0}")]
    ServiceNotActiveBecause(&'static str),
    #[error("Resource not found.")]
    ResourceNotFound,
    #[error("The specified daemon was not found.")]
    DaemonNotFound,
    #[error("The specified daemon is not ACTIVE.")]
    DaemonNotActive,
    #[error("The task set was not found.")]
    TaskSetNotFound,
    #[error("{0}")]
    LimitExceeded(String),
    #[error("The service deployment was not found.")]
    ServiceDeploymentNotFound,
    #[error("The namespace {0} was not found.")]
    NamespaceNotFound(String),
    #[error("{0}")]
    TargetNotFound(String),
    #[error("You can apply up to {0} custom attributes for each resource.")]
    AttributeLimitExceeded(usize),
    #[error("The specified platform version does not exist.")]
    PlatformUnknown,
    /// The token was used with other parameters; the tasks that it stands for.
    #[error("The clientToken was already used with different request parameters.")]
    Conflict(Vec<String>),
    #[error("{0}")]
    UnsupportedFeature(String),
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
}

impl EcsError {
    /// `ClientException` with this text.
    pub(super) fn client(text: impl Into<String>) -> Self {
        Self::Client(text.into())
    }

    /// `InvalidParameterException` with this text.
    pub(super) fn parameter(text: impl Into<String>) -> Self {
        Self::InvalidParameter(text.into())
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Client(_) => "ClientException",
            Self::InvalidParameter(_) => "InvalidParameterException",
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::ClusterNotFound => "ClusterNotFoundException",
            Self::ClusterContainsTasks => "ClusterContainsTasksException",
            Self::ClusterContainsContainerInstances => "ClusterContainsContainerInstancesException",
            Self::ClusterContainsServices => "ClusterContainsServicesException",
            Self::ProviderInUse => "ResourceInUseException",
            Self::NoUpdateAvailable => "NoUpdateAvailableException",
            Self::MissingVersion => "MissingVersionException",
            Self::ServiceNotFound => "ServiceNotFoundException",
            Self::ServiceNotActive | Self::ServiceNotActiveBecause(_) => "ServiceNotActiveException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::DaemonNotFound => "DaemonNotFoundException",
            Self::DaemonNotActive => "DaemonNotActiveException",
            Self::TaskSetNotFound => "TaskSetNotFoundException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::ServiceDeploymentNotFound => "ServiceDeploymentNotFoundException",
            Self::NamespaceNotFound(_) => "NamespaceNotFoundException",
            Self::TargetNotFound(_) => "TargetNotFoundException",
            Self::AttributeLimitExceeded(_) => "AttributeLimitExceededException",
            Self::PlatformUnknown => "PlatformUnknownException",
            Self::Conflict(_) => "ConflictException",
            Self::UnsupportedFeature(_) => "UnsupportedFeatureException",
            Self::Store(_) => "ServerException",
        }
    }
}

impl ApiError for EcsError {
    fn code(&self) -> &str {
        self.name()
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Store(_)) { 500 } else { 400 }
    }

    fn details(&self) -> Map<String, Value> {
        let Self::Conflict(resource_ids) = self else { return Map::new() };
        Map::from_iter([("resourceIds".to_owned(), json!(resource_ids))])
    }
}
