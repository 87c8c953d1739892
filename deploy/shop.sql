-- Invented data for docker-compose.yml; the numbers are from a range that is never issued.
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, ssn text NOT NULL, notes text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers (id), item text NOT NULL,
                     total numeric(10,2) NOT NULL);
INSERT INTO customers VALUES
  (1, 'Ada Winters', 'ada.winters@example.com', '900-11-0001', 'prefers calls in the morning'),
  (2, 'Bao Tran', 'bao.tran@example.net', '900-11-0002', NULL),
  (3, 'Carmen Ruiz', 'carmen.ruiz@example.org', '900-11-0003', 'disputed an invoice in May');
INSERT INTO orders VALUES (10, 1, 'walnut desk', 899.00), (11, 2, 'office chair', 329.00), (12, 3, 'bookshelf', 210.00);
