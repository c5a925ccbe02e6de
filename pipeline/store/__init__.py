"""What must survive a crash: events, alarm state, resume points, the outbox."""
