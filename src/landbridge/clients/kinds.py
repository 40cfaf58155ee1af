"""The kinds that landbridge itself speaks of; all others come from discovery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """One kind as an API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The API group, empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """As `kubectl auth can-i` writes it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, an object or a part of it."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{tail}"


SERVICE = Kind("v1", "Service", "services")
ENDPOINTS = Kind("v1", "Endpoints", "endpoints")
ENDPOINTSLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets")
CONFIGMAP = Kind("v1", "ConfigMap", "configmaps")
SERVICEACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
EVENT = Kind("v1", "Event", "events")
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICASET = Kind("apps/v1", "ReplicaSet", "replicasets")
STATEFULSET = Kind("apps/v1", "StatefulSet", "statefulsets")
DAEMONSET = Kind("apps/v1", "DaemonSet", "daemonsets")
CRONJOB = Kind("batch/v1", "CronJob", "cronjobs")
JOB = Kind("batch/v1", "Job", "jobs")
HPA = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
PDB = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLEBINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTERROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTERROLEBINDING = Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
PRIORITYCLASS = Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False)
NETWORKPOLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
TRAFFICSPLIT = Kind("split.smi-spec.io/v1alpha2", "TrafficSplit", "trafficsplits")
HTTPROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
HTTPROUTE_V1BETA1 = Kind("gateway.networking.k8s.io/v1beta1", "HTTPRoute", "httproutes")
LINKERD_HTTPROUTE = Kind("policy.linkerd.io/v1beta3", "HTTPRoute", "httproutes")
SERVICEPROFILE = Kind("linkerd.io/v1alpha2", "ServiceProfile", "serviceprofiles")
LINK = Kind("multicluster.linkerd.io/v1alpha3", "Link", "links")

KNOWN = {(kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)}
