-- The few tables of vTiger that the module's own SQL touches, with no more columns than that.
CREATE TABLE vtiger_crmentity (crmid INT PRIMARY KEY, smownerid INT NOT NULL DEFAULT 0, setype VARCHAR(100), modifiedtime DATETIME, createdtime DATETIME, deleted INT NOT NULL DEFAULT 0, label VARCHAR(255)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_contactdetails (contactid INT PRIMARY KEY, firstname VARCHAR(40), lastname VARCHAR(80), accountid INT DEFAULT 0) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_leaddetails (leadid INT PRIMARY KEY, firstname VARCHAR(40), lastname VARCHAR(80), converted INT DEFAULT 0) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_account (accountid INT PRIMARY KEY, accountname VARCHAR(100)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_contactscf (contactid INT PRIMARY KEY, calls_caller_id VARCHAR(64)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_leadscf (leadid INT PRIMARY KEY, calls_caller_id VARCHAR(64)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_accountscf (accountid INT PRIMARY KEY, calls_caller_id VARCHAR(64)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_users (id INT PRIMARY KEY, user_name VARCHAR(255), first_name VARCHAR(30), last_name VARCHAR(30), phone_crm_extension VARCHAR(100), phone_mobile VARCHAR(50), is_admin VARCHAR(3), status VARCHAR(25), deleted INT NOT NULL DEFAULT 0) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_groups (groupid INT PRIMARY KEY, groupname VARCHAR(100), description TEXT) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_troubletickets (ticketid INT PRIMARY KEY, contact_id INT, parent_id VARCHAR(100)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_modtracker_basic (id INT PRIMARY KEY, crmid INT, module VARCHAR(50)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_modtracker_detail (id INT, fieldname VARCHAR(100), prevalue TEXT, postvalue TEXT) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_modcomments (modcommentsid INT PRIMARY KEY, related_to INT) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE vtiger_loginhistory (login_id INT PRIMARY KEY AUTO_INCREMENT, user_name VARCHAR(255), status VARCHAR(25)) ENGINE=InnoDB DEFAULT CHARSET=utf8;
