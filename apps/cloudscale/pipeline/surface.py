"""What a pipeline shows to the outside: the dashboard, ways in from outside of the cluster, telemetry."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cloudscale.pipeline.fields import RESOURCES_RULES, HostName, Model, ObjectName, Resources, SecretKey
from cloudscale.pipeline.rules import excludes, rules
from cloudscale.pipeline.sign_in import SignIn  # noqa: TC001 - msgspec reads annotations at run time


class Dashboard(Model, frozen=True):
    """The web page that shows the pipeline at work."""

    enabled: Annotated[bool, Meta(description="Whether the dashboard runs.")] = True
    token_secret_ref: Annotated[
        SecretKey | None,
        Meta(
            description="Where the access tokens are. Without it and signIn the operator makes a token and keeps it in "
            "the Secret NAME-dashboard."
        ),
    ] = None
    tls_secret_name: Annotated[
        ObjectName | None,
        Meta(
            description="Secret of type kubernetes.io/tls whose certificate the dashboard shows; with a new one its "
            "pod is replaced. The Service then has port 443 in place of 80."
        ),
    ] = None
    sign_in: Annotated[
        SignIn | None, Meta(description="Let people sign in with OpenID Connect, beside the access tokens.")
    ] = None
    resources: Annotated[
        Resources, Meta(description="Compute resources of the dashboard.", extra_json_schema=RESOURCES_RULES)
    ] = Resources(requests={"cpu": "50m", "memory": "128Mi"}, limits={"cpu": "1", "memory": "512Mi"})


class Ingress(Model, frozen=True):
    """An Ingress in front of ingestion."""

    host: Annotated[HostName, Meta(description="Host name of the rule.")]
    class_name: Annotated[
        ObjectName | None, Meta(description="IngressClass; left out for the cluster's default one.")
    ] = None
    tls_secret_name: Annotated[ObjectName | None, Meta(description="Secret with the certificate; none for HTTP.")] = (
        None
    )


class Gateway(Model, frozen=True):
    """A Gateway API HTTPRoute in front of ingestion."""

    name: Annotated[ObjectName, Meta(description="Gateway that the route attaches to.")]
    namespace: Annotated[
        ObjectName | None, Meta(description="Namespace of the Gateway; left out for the pipeline's own.")
    ] = None
    hostnames: Annotated[tuple[HostName, ...], Meta(description="Host names of the route.", max_length=16)] = ()


class Expose(Model, frozen=True):
    """How ingestion is reached from outside of the cluster; a Service inside is always there."""

    ingress: Annotated[Ingress | None, Meta(description="Make an Ingress in front of ingestion.")] = None
    gateway: Annotated[Gateway | None, Meta(description="Make a Gateway API HTTPRoute in front of ingestion.")] = None


class Tracing(Model, frozen=True):
    """OpenTelemetry traces from the request to the store."""

    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://\S+$", max_length=512)] | None,
        Meta(description="OTLP over HTTP endpoint; without this and applicationInsightsSecretRef nothing is traced."),
    ] = None
    application_insights_secret_ref: Annotated[
        SecretKey | None,
        Meta(description="Where the connection string of Application Insights is; the traces go to Azure Monitor."),
    ] = None
    sample_ratio: Annotated[float, Meta(description="Share of events that are traced.", ge=0, le=1)] = 0.01


ONE_WAY_TO_THE_TRACES = excludes("applicationInsightsSecretRef", "endpoint")


class Telemetry(Model, frozen=True):
    """Metrics, traces and logs."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level logged.")] = "info"
    tracing: Annotated[
        Tracing,
        Meta(
            description="OpenTelemetry traces from the request to the store.",
            extra_json_schema=rules(ONE_WAY_TO_THE_TRACES),
        ),
    ] = Tracing()
    service_monitor: Annotated[
        bool, Meta(description="Make a ServiceMonitor and a PrometheusRule where those kinds exist.")
    ] = True
