"""Pure statistics over scores and records: intervals, contrasts, verdicts. numpy only, explicit generators."""
