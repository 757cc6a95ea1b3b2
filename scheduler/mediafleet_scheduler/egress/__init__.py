"""The egress desk: answers StartEgress for whole fleets and hands each job to a pod."""
