"""The local stack: the same ``template.yaml`` as in production, deployed on this machine; in a checkout only.

``jitr_local.stack`` starts, finds and stops it, ``jitr_local.session.running_stack`` lends one to tests and
to the demo, and ``jitr_local.cli`` is ``jitr local``.
"""
