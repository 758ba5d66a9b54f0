"""What tests, bench and fuzz make things from: certificates, lists, rules, events, and stand-ins for AWS."""
