"""The amphora provider: load balancers made of appliances that run HAProxy and keepalived."""
