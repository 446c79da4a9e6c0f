"""Pods on a cluster of Google Kubernetes Engine."""

from airflow.providers.google.cloud.operators.kubernetes_engine import GKEStartPodOperator

from pipeline.runners.pods.operators import PodOperator


class GkePodOperator(PodOperator, GKEStartPodOperator):
    """PodOperator for a cluster that Google's API knows by project, location and name."""
