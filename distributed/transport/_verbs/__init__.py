"""RDMA verbs as the transport rdma uses them: cards, opened cards, and queue pairs."""
