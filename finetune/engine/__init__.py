"""What trains, whatever the objective: worker, update, optimizer, checkpoint, run folder."""
