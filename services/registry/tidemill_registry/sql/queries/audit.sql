-- Write an audit entry. $1 action  $2 subject  $3 author  $4 details
INSERT INTO audit_entry (action, subject, author, details) VALUES ($1, $2, $3, $4)
