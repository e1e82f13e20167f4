-- A report that was built is no more; it may be built again.
UPDATE alert SET report_path = '', report_state = '' WHERE report_path <> '';
