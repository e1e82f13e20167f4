-- The worst alert that waits for its report.
SELECT * FROM alert
WHERE report_state = 'wanted'
ORDER BY severity, changed_wall_us
LIMIT 1;
